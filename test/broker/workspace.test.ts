import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bridgeEnvironment } from '../../modules/contract.ts';
import { deriveProof } from '../../service/secrets/registration-proof.ts';
import {
  installTools,
  makeWorkspace,
  startBridgeProcess,
  type BridgeProcess,
  type TestWorkspace,
  type Tools,
} from '../support/bridge/bridge-process.ts';
import { eventually } from '../support/clock.ts';
import { startGitForge, type GitForge } from '../support/git-forge.ts';
import { startTestService, type Person, type TestService } from '../support/service.ts';

/** Used · given and not used · set by somebody in the container of the agent. */
const canary = {
  git: `canary-git-${randomBytes(12).toString('hex')}`,
  key: `canary-key-${randomBytes(12).toString('hex')}`,
  unused: `canary-unused-${randomBytes(12).toString('hex')}`,
  planted: `canary-planted-${randomBytes(12).toString('hex')}`,
};

const plantedNames = [
  'GITHUB_TOKEN',
  'GIT_PASSWORD',
  'ANTHROPIC_API_KEY',
  'OPENROUTER_API_KEY',
  'OPENAI_API_KEY',
  'AZURE_OPENAI_API_KEY',
  'HF_TOKEN',
];

let tools: Tools;
let forge: GitForge;
let outrigger: TestService;
let orgAdmin: Person;
let workspace: TestWorkspace;
let bridge: BridgeProcess;
beforeAll(async () => {
  tools = await installTools();
  forge = await startGitForge({ username: 'x-access-token', password: canary.git });
  forge.addRepository('acme/app');
  forge.addRepository('acme/other');
  outrigger = await startTestService({ ALLOW_INSECURE_HTTP: 'true', OUTRIGGER_MAX_PROFILE: 'trusted' });
  orgAdmin = outrigger.coder.addUser({ username: 'orga', roles: ['organization-admin'] });
  await give({ host: forge.host });
  workspace = makeWorkspace({ 'work.sh': work().join('\n'), 'search.sh': search().join('\n') });
  workspace.git('remote', 'add', 'origin', `http://${forge.host}/acme/app.git`);
  bridge = await startBridge();
});
afterAll(async () => {
  bridge.kill('SIGTERM');
  await bridge.exited;
  await outrigger.stop();
  await forge.close();
  workspace.remove();
  tools.remove();
});

async function give(github: Record<string, unknown>): Promise<void> {
  const secret = { github: canary.git, openrouter: canary.key, anthropic: canary.unused, openai: canary.unused };
  await outrigger.call(orgAdmin, 'PUT', '/api/v2/agents/secrets/given', secret);
  const from = (env: string, key: string, rest: Record<string, unknown> = {}) => ({
    name: key,
    secretRef: { name: 'given', key },
    env,
    ...rest,
  });
  const written = await outrigger.call(orgAdmin, 'PUT', '/api/v2/agents/registry/opencode', {
    apiVersion: 'kubeopencode.io/v1alpha1',
    kind: 'Agent',
    metadata: { name: 'opencode' },
    spec: {
      credentials: [
        from('GITHUB_TOKEN', 'github', github),
        from('OPENROUTER_API_KEY', 'openrouter'),
        from('ANTHROPIC_API_KEY', 'anthropic'),
        from('OPENAI_API_KEY', 'openai'),
      ],
    },
  });
  expect(written.status).toBe(200);
}

/** A bridge as a template starts it, in a workspace that was built for `acme/app` with profile `trusted` allowed. */
async function startBridge(): Promise<BridgeProcess> {
  const { coder, people, workspace: built } = outrigger;
  const versionId = coder.addVersion('docker', { max_profile: 'trusted' });
  const parameters = { git_repository: `http://${forge.host}/acme/app` };
  const { agentId } = coder.buildWorkspace(built.id, 'start', { versionId, parameters });
  const { body } = await outrigger.call(people.admin, 'POST', '/api/v2/agents/templates/docker/secrets', {});
  const proof = deriveProof((body as { secret: string }).secret, built.id, people.ada.id, agentId);
  return startBridgeProcess({
    service: { url: outrigger.url, proof },
    tools,
    workspace,
    environment: {
      [bridgeEnvironment.workspaceId]: built.id,
      [bridgeEnvironment.ownerId]: people.ada.id,
      [bridgeEnvironment.workspaceAgentId]: agentId,
      ...Object.fromEntries(plantedNames.map((name) => [name, canary.planted])),
    },
  });
}

interface Finished {
  readonly id: string;
  readonly outcome: string;
  readonly message: string | null;
}

/** Lets the agent run commands one after the other and answers the finished task. */
async function run(command: string): Promise<Finished> {
  const submitted = await outrigger.call(outrigger.people.ada, 'POST', '/api/v2/agents/opencode/tasks', {
    type: 'opencode',
    profile: 'trusted',
    payload: {
      action: 'generate_code',
      prompt: `SCENARIO:bash ARG:${command}`,
      context: { workspace_id: 'ws-123' },
    },
  });
  expect(submitted.status).toBe(202);
  const path = `/api/v2/agents/tasks/${(submitted.body as { id: string }).id}`;
  return eventually(
    'the task to finish',
    async () => {
      const { body } = await outrigger.call(outrigger.people.ada, 'GET', path);
      return body.state === 'finished' ? (body as Finished) : undefined;
    },
    150_000,
  );
}

const eventsOf = async (id: string): Promise<string> =>
  JSON.stringify(
    (await outrigger.database.pool.query('select type, data from task_event where task_id = $1 order by seq', [id]))
      .rows,
  );
const refs = (): string[] => forge.git('acme/app', 'for-each-ref', '--format=%(refname)').split('\n');
/** Everything that the service stores of a task, and of secrets. */
const tables = [
  'task',
  'task_event',
  'attempt',
  'audit_event',
  'bridge_frame',
  'model_call',
  'task_token',
  'secret',
  'agent_entry',
];

function filesBelow(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return filesBelow(path);
    return entry.isFile() ? [path] : [];
  });
}

/** Git as people use it, and every push that must not pass. */
const work = (): string[] => [
  'git ls-remote origin | sed s/^/SEEN-/',
  // The settings that lead to the relay are no secret; another repository is none of the task's even so.
  'relay=$(echo "$GIT_CONFIG_KEY_3" | sed "s/^url.//; s/acme.app.insteadOf$//")',
  'git ls-remote "${relay}acme/other.git"',
  'echo mine > mine.txt && git add mine.txt && git commit -qm mine',
  'git push origin HEAD:refs/heads/agent/mine',
  'git push origin HEAD:refs/heads/main || true',
  'git push --force origin HEAD:refs/heads/main || true',
  'git push origin :refs/heads/agent/mine || true',
];

/** Everywhere an agent could look for a credential. */
const search = (): string[] => [
  'env',
  'cat /proc/[0-9]*/environ 2>/dev/null | tr "\\0" "\\n"',
  'git config --list --show-origin',
  'git remote -v',
  'GIT_TRACE_CURL=1 git ls-remote origin 2>&1',
  'git credential fill </dev/null 2>&1 || true',
  `curl -s http://${forge.host}/acme/app.git/info/refs?service=git-upload-pack 2>&1 || true`,
];

describe('an agent in a workspace', () => {
  // One task for all of it, because starting OpenCode takes longest.
  it('reaches model and repository without ever holding a key or token; its work is pushed to its branch, and nothing else is (part of C-14, P-38, P-80, P-99, D10)', async () => {
    const main = forge.git('acme/app', 'rev-parse', 'main');

    const task = await run('sh work.sh > work.log 2>&1; sh search.sh > search.log 2>&1');

    expect(task.outcome).toBe('succeeded');
    expect(await eventsOf(task.id)).toMatch(/The work was pushed\./);
    expect(forge.git('acme/app', 'rev-parse', 'main')).toBe(main);
    const branch = refs().find((ref) => !/main$|mine$/.test(ref)) ?? '';
    expect(refs()).toContain('refs/heads/agent/mine');
    // What the commands printed is work too: it went to the forge with everything else.
    const printed = ['work.log', 'search.log'].map((name) => forge.git('acme/app', 'show', `${branch}:${name}`)).join();
    expect(printed).toMatch(/SEEN-[0-9a-f]{40}/);
    expect(printed).toMatch(/only agent\/\* can be pushed from here/);
    expect(printed).toMatch(/was not built for [0-9.:]+\/acme\/other/);
    expect(printed).toMatch(/TASK_ID=/);
    const { rows: pushes } = await outrigger.database.pool.query<{ outcome: string; refs: string }>(
      "select outcome, data->>'refs' as refs from audit_event where action = 'git.pushed' order by id",
    );
    expect(pushes.map(({ outcome }) => outcome).join(' ')).toBe('intent success denied denied intent success');
    expect(pushes.at(-1)?.refs).toBe(`${branch} ${'0'.repeat(40)}..${forge.git('acme/app', 'rev-parse', branch)}`);

    const rows = [];
    for (const table of tables)
      rows.push(...(await outrigger.database.pool.query(`select row_to_json(t)::text from ${table} t`)).rows);
    const written = [workspace.directory, workspace.agentDir]
      .flatMap(filesBelow)
      .map((file) => readFileSync(file, 'latin1'));
    const everything = [JSON.stringify([rows, bridge.lines]), printed, outrigger.log(), ...written].join('\n');
    expect(everything).toContain(task.id);
    const asPassword = Buffer.from(`x-access-token:${canary.git}`).toString('base64');
    for (const value of [...Object.values(canary), asPassword]) expect(everything).not.toContain(value);
    // They were really used.
    expect(new Set(forge.requests.map(({ authorization }) => authorization))).toEqual(
      new Set(['', `Basic ${asPassword}`]),
    );
    expect(new Set(outrigger.model.requests.map(({ authorization }) => authorization))).toEqual(
      new Set([`Bearer ${canary.key}`]),
    );
  });
});

describe('gitCommit and gitPush over the bridge (part of P-43)', () => {
  const send = async (type: string, payload: Record<string, unknown>) => {
    const body = { workspace_id: 'ws-123', type, payload, profile: 'trusted' };
    const { body: reply } = await outrigger.call(outrigger.people.ada, 'POST', '/api/container', body);
    return reply as { id: string; success: boolean; data: { commit: string }; error?: string };
  };

  it('commit as the owner and push through the broker with no task running, to the branches it allows', async () => {
    await eventually('the bridge', async () => (await send('listFiles', {})).success);
    await send('writeFile', { path: 'app/said.txt', content: 'said\n' });
    const committed = await send('gitCommit', { message: 'Say it' });
    expect(committed).toMatchObject({ success: true });
    expect(workspace.git('log', '-1', '--format=%ae %(trailers:key=Agent-Command,valueonly)')).toMatch(
      new RegExp(`^ada@\\S+ ${committed.id}$`),
    );

    const { commit } = committed.data;
    expect(await send('gitPush', { branch: 'agent/said' })).toMatchObject({
      success: true,
      data: { repository: `${forge.host}/acme/app`, branch: 'agent/said', commit },
    });
    expect(forge.git('acme/app', 'rev-parse', 'agent/said')).toBe(commit);
    const refused = await send('gitPush', { branch: 'release/said' });
    expect(refused).toMatchObject({ success: false, error: expect.stringMatching(/only agent\/\* can be pushed/) });
    const { rows } = await outrigger.database.pool.query<{ outcome: string; task: string }>(
      "select outcome, data->>'task_id' as task from audit_event where action = 'git.pushed' order by id desc limit 3",
    );
    // The command's own frame stands where a task's id would.
    expect(rows.map(({ outcome }) => outcome)).toEqual(['denied', 'success', 'intent']);
    expect(JSON.stringify(bridge.lines) + outrigger.log()).not.toContain(canary.git);
  });
});
