import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { bridgeEnvironment } from '../../modules/contract.ts';
import { harnessPassword } from '../../modules/opencode/bridge/harness-password.ts';
import { deriveProof } from '../../service/secrets/registration-proof.ts';
import {
  harnessKeyCanary,
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

/** Used, by their owner · given and not used · set by somebody in the container of the agent. */
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
let proof: string;
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

/** Gives the organization keys that are not to be used, because Ada brings her own. */
async function give(github: Record<string, unknown>): Promise<void> {
  const { ada } = outrigger.people;
  const own = { github: canary.git, openrouter: canary.key };
  await outrigger.call(ada, 'PUT', '/api/v2/agents/secrets/mine?scope=owner', own);
  const mine = (env: string, key: string, rest: Record<string, unknown> = {}) => ({
    ...{ name: key, env, secretRef: { name: 'mine', key } },
    ...rest,
  });
  const credentials = [mine('GITHUB_TOKEN', 'github', github), mine('OPENROUTER_API_KEY', 'openrouter')];
  expect((await outrigger.call(ada, 'PUT', '/api/v2/agents/credentials', { credentials })).status).toBe(200);
  const value = canary.unused;
  const secret = { github: value, openrouter: value, anthropic: value, openai: value };
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
  proof = deriveProof((body as { secret: string }).secret, built.id, people.ada.id, agentId);
  return startBridgeProcess({
    service: { url: outrigger.url, proof },
    tools,
    workspace,
    environment: {
      [bridgeEnvironment.workspaceId]: built.id,
      [bridgeEnvironment.ownerId]: people.ada.id,
      [bridgeEnvironment.workspaceAgentId]: agentId,
      TOOLS: tools.directory,
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
  'secret_scope',
  'agent_entry',
  'own_credentials',
  'bridge',
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
  'for p in /proc/[0-9]*; do cat $p/task/*/environ; done 2>/dev/null | tr "\\0" "\\n"',
  'for p in /proc/[0-9]*; do tr "\\0" " " < $p/cmdline; echo; done 2>/dev/null',
  'ls -la /proc/[0-9]*/fd 2>/dev/null',
  // Memory and core files of the bridge and of the harness, which are processes of the same user.
  'for p in $(grep -lsa bridge.js /proc/[0-9]*/cmdline | cut -d/ -f3) $PPID; do cat /proc/$p/maps; dd if=/proc/$p/mem bs=1 count=1; done 2>&1',
  '(ulimit -c unlimited; sh -c "kill -SEGV \\$\\$"); cat core* 2>/dev/null || true',
  // The harness's own words: its routes, without the password that nobody here has, and its configuration.
  'port=$(cat /proc/[0-9]*/cmdline 2>/dev/null | tr "\\0" " " | grep -ao "$TOOLS/opencode serve.*--port [0-9]*" | grep -o "[0-9]*$" | head -1)',
  'for route in config config/providers global/config doc provider; do curl -s -w "ROUTE-%{http_code}" http://127.0.0.1:$port/$route; done',
  'echo; BUN_BE_BUN= "$TOOLS/opencode" debug config 2>&1; echo DEBUG-$?',
  'cat "$HOME/.netrc" "$HOME/.git-credentials" "$XDG_DATA_HOME/opencode/auth.json" 2>&1 || true',
  'grep -rhsa . "$HOME" "$XDG_CONFIG_HOME" "$XDG_DATA_HOME" .git/config || true',
  'git config --list --show-origin',
  'git remote -v',
  'GIT_TRACE_CURL=1 git ls-remote origin 2>&1',
  'git credential fill </dev/null 2>&1 || true',
  `curl -s http://${forge.host}/acme/app.git/info/refs?service=git-upload-pack 2>&1 || true`,
];

describe('an agent in a workspace', () => {
  // One task for all of it, because starting OpenCode takes longest.
  it('P-40 P-48 P-79 C-14 S-58 reaches model and repository with the keys that its owner brought without ever holding one; looking everywhere it finds no secret (part of P-38, P-80, P-99, D10)', async () => {
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
    expect(printed).toMatch(/(ROUTE-401){5}/);
    expect(printed).toMatch(/"small_model"/);
    expect(printed).toMatch(/DEBUG-0/);
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
    // What a provider is shown stands in a header; what the model is told must not hold it.
    const told = outrigger.model.requests.map((request) => ({ ...request, authorization: undefined }));
    const reach = [printed, JSON.stringify([rows, bridge.lines, told]), ...written].join('\n');
    const everything = [reach, outrigger.log()].join('\n');
    expect(everything).toContain(task.id);
    const asPassword = Buffer.from(`x-access-token:${canary.git}`).toString('base64');
    for (const value of [...Object.values(canary), asPassword]) expect(everything).not.toContain(value);
    // Nor what is made for this workspace alone: proof, harness key and password, tokens of bridge, task and Coder.
    const made = [proof, harnessKeyCanary, harnessPassword(harnessKeyCanary, { task_id: task.id, attempt: 1 })];
    const { people } = outrigger;
    for (const value of [...made, people.ada.token, people.admin.token]) expect(everything).not.toContain(value);
    expect(everything).not.toMatch(/or[bt]_[A-Za-z0-9_-]{43}/);
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
