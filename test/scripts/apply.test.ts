import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { applyFiles } from '../../scripts/apply.ts';
import { startTestService, type Person, type TestService } from '../support/service.ts';
import { ran } from './template-harness.ts';

let outrigger: TestService;
let admin: Person;
let home: string;
beforeAll(async () => {
  outrigger = await startTestService();
  admin = outrigger.coder.addUser({ username: 'orga', roles: ['organization-admin'] });
  home = mkdtempSync(join(tmpdir(), 'outrigger-apply-'));
});
afterAll(async () => {
  await outrigger.stop();
  rmSync(home, { recursive: true, force: true });
});
let folder: string;
beforeEach(async () => {
  folder = mkdtempSync(join(home, 'checkout-'));
  await outrigger.database.pool.query('truncate workflow_definition, agent_entry, agent_template, work_limit cascade');
});

const fixture = join(import.meta.dirname, '..', 'fixtures', 'agent', 'credentials.agent.yaml');
const image = (letter: string): string => `registry.example.com/base:1@sha256:${letter.repeat(64)}`;
const write = (name: string, text: string): void => writeFileSync(join(folder, name), text);
const apply = (more: object = {}, person = admin, service = outrigger.url) =>
  ran({ coderUrl: outrigger.coder.url, token: person.token, home }, (around) =>
    applyFiles({ output: 'text', service, filename: [folder], ...more }, around),
  );
const get = async (path: string) => (await outrigger.call(admin, 'GET', `/api/v2/agents${path}`)).body;
const lines = (text: string): string[] => text.split('\n').map((line) => line.replace(/ +/g, ' '));
const workflow = (name: string, prompt = 'Do it.') => `
apiVersion: outrigger/v1
kind: Workflow
metadata: { name: ${name} }
spec:
  steps:
    - { id: only, agent: opencode, task: generate_code, params: { prompt: ${prompt} } }
`;
const agent = (name: string, spec: string) => `
apiVersion: kubeopencode.io/v1alpha1
kind: Agent
metadata: { name: ${name} }
spec:
${spec}`;
const kube = (kind: string, name: string, spec: string): string =>
  `apiVersion: kubeopencode.io/v1alpha1\nkind: ${kind}\nmetadata: { name: ${name} }\nspec:\n  ${spec}\n`;
const taskSpec = `description: Mend the login.
  agentRef: { name: platform }
  priorityClass: high
  contexts:
    - { type: Text, text: Use conventional commits. }
    - { type: Git, git: { repository: "https://git.example.com/a" }, mountPath: src }`;
const events = async (): Promise<number> =>
  Number(
    (await outrigger.database.pool.query("select count(*) as n from audit_event where action like '%.written'")).rows[0]
      .n,
  );

describe('outrigger apply', () => {
  it('S-121 makes the service say what a folder says, and a second time changes nothing', async () => {
    write('10-two.yaml', `# Two in one file.\n---${workflow('one')}---${workflow('two')}`);
    write('20-agent.yml', agent('my-agent', `  executorImage: ${image('a')}\n`));
    write(
      '30.json',
      JSON.stringify({
        apiVersion: 'outrigger/v1',
        kind: 'Workflow',
        metadata: { name: 'three' },
        spec: { steps: [{ id: 'a', agent: 'opencode', task: 'fix_tests' }] },
      }),
    );
    write('notes.md', 'not for apply');

    const first = await apply();
    expect(first).toMatchObject({ code: 0, stderr: '' });
    expect(lines(first.stdout)).toEqual([
      'created Agent/my-agent',
      'created Workflow/one',
      'created Workflow/two',
      'created Workflow/three',
    ]);
    const written = await events();

    const second = await apply();
    expect(lines(second.stdout)).toEqual([
      'unchanged Agent/my-agent',
      'unchanged Workflow/one',
      'unchanged Workflow/two',
      'unchanged Workflow/three',
      'Nothing changed.',
    ]);
    expect(await events()).toBe(written);
    expect((await get('/definitions/one')).status.version).toBe(1);

    write('10-two.yaml', `${workflow('one')}---${workflow('two', 'Do more.')}`);
    expect(lines((await apply()).stdout)).toEqual([
      'unchanged Agent/my-agent',
      'unchanged Workflow/one',
      'changed Workflow/two',
      'unchanged Workflow/three',
    ]);
    expect((await get('/definitions/two')).status.version).toBe(2);
  });

  it('O-50 takes the documented Agent and creates it; fields it does not heed are named by path', async () => {
    cpSync(fixture, join(folder, 'agent.yaml'));
    expect(await apply()).toMatchObject({ code: 0, stderr: '', stdout: expect.stringMatching(/^created +Agent\//) });

    write(
      'agent.yaml',
      agent(
        'builder',
        `  workspaceDir: /workspace\n  serviceAccountName: canary-value\n  podSpec: { labels: { a: b } }\n  executorImage: ${image('b')}\n  credentials:\n    - { name: t, env: T, secretRef: { name: s, key: k }, mountPath: /x }\n`,
      ),
    );
    const { code, stdout, stderr } = await apply();
    expect(code).toBe(0);
    expect(stdout).toMatch(/^created +Agent\/builder$/);
    expect(lines(stderr)).toEqual(
      ['spec.credentials.0.mountPath', 'spec.podSpec', 'spec.serviceAccountName', 'spec.workspaceDir'].map(
        (path) => `Agent/builder: ${path} is not known here and is left out.`,
      ),
    );
    expect(stderr).not.toContain('canary');
    expect((await get('/registry/builder')).spec).toEqual({
      executorImage: image('b'),
      credentials: [{ name: 't', env: 'T', secretRef: { name: 's', key: 'k' } }],
    });

    const strict = await apply({ strict: true });
    expect([strict.code, strict.stderr]).toEqual([
      2,
      expect.stringMatching(/agent\.yaml:2: .*not known here: .*spec\.podSpec[^]*Nothing was sent/),
    ]);
  });

  it('merges an agent with its template, near or stored, and sets the limits of an agent that does tasks', async () => {
    write(
      'template.yaml',
      `apiVersion: kubeopencode.io/v1alpha1\nkind: AgentTemplate\nmetadata: { name: base }\nspec: { agentImage: "${image('c')}", executorImage: "${image('d')}" }\n`,
    );
    write(
      'agents.yaml',
      agent(
        'opencode',
        `  templateRef: { name: base }\n  executorImage: ${image('e')}\n  maxConcurrentTasks: 3\n  quota: { maxTaskStarts: 5, windowSeconds: 60 }\n`,
      ),
    );
    expect(lines((await apply()).stdout)).toEqual(['created AgentTemplate/base', 'created Agent/opencode']);
    expect((await get('/registry/opencode')).spec).toEqual({
      credentials: [],
      agentImage: image('c'),
      executorImage: image('e'),
    });
    expect((await get('/limits')).items).toMatchObject([
      { target: 'opencode', maxConcurrentTasks: 3, quota: { maxTaskStarts: 5, windowSeconds: 60 } },
    ]);
    expect((await apply()).stdout).toContain('Nothing changed.');

    rmSync(join(folder, 'template.yaml'));
    expect((await apply()).stdout).toContain('Nothing changed.');
    write('agents.yaml', agent('other', '  templateRef: { name: none }\n'));
    expect(await apply()).toMatchObject({ code: 2, stderr: expect.stringMatching(/no AgentTemplate none/) });
    write('agents.yaml', agent('other', '  maxConcurrentTasks: 3\n'));
    expect((await apply()).stderr).toMatch(/spec\.maxConcurrentTasks \(limits hold for what does tasks/);
  });

  it('takes a Registry as a list of agents', async () => {
    write(
      'registry.yaml',
      `apiVersion: kubeopencode.io/v1alpha1\nkind: Registry\nmetadata: { name: all }\nspec:\n  images: []\n  agents:\n    - { name: one, spec: { executorImage: "${image('f')}" } }\n    - { name: two, spec: { command: [sh] } }\n`,
    );
    const { stdout, stderr } = await apply();
    expect(lines(stdout)).toEqual(['created Registry/all']);
    expect(lines(stderr)).toEqual(
      ['spec.images', 'spec.agents.1.spec.command'].map(
        (path) => `Registry/all: ${path} is not known here and is left out.`,
      ),
    );
    expect((await get('/agent-entries')).items.map((one: { metadata: { name: string } }) => one.metadata.name)).toEqual(
      ['one', 'two'],
    );
  });

  it('O-72 submits a Task once, keeps a CronTask with its fields and verbs, and takes them as kubeopencode writes them', async () => {
    write('task.yaml', kube('Task', 'fix-login', taskSpec));
    write(
      'cron.yaml',
      kube(
        'CronTask',
        'every-night',
        `schedule: "0 2 * * *"\n  timeZone: Europe/Berlin\n  concurrencyPolicy: Replace\n  startingDeadlineSeconds: 300\n  maxRetainedTasks: 4\n  taskTemplate:\n    metadata: { labels: { team: a } }\n    spec:\n      ${taskSpec.replaceAll('\n', '\n    ')}`,
      ),
    );
    const asAda = () => apply({}, outrigger.people.ada);

    const first = await asAda();

    expect(lines(first.stdout)).toEqual(['created CronTask/every-night', 'created Task/fix-login']);
    expect(lines(first.stderr)).toEqual(
      ['CronTask/every-night: spec.taskTemplate.spec', 'Task/fix-login: spec'].flatMap((at) => [
        `${at}.agentRef (no agent here is called platform, so opencode does it) is not known here and is left out.`,
        `${at}.contexts.1 is not known here and is left out.`,
        `${at}.priorityClass is not known here and is left out.`,
      ]),
    );
    const ada = async (path: string, method = 'GET') =>
      (await outrigger.call(outrigger.people.ada, method, `/api/v2/agents${path}`, method === 'POST' ? {} : undefined))
        .body;
    const { id } = await ada('/named-tasks/fix-login');
    const task = await ada(`/tasks/${id}`);
    expect(task).toMatchObject({ agent: 'opencode', action: 'generate_code' });
    const { rows } = await outrigger.database.pool.query('select prompt from task where id = $1', [id]);
    expect(rows).toEqual([{ prompt: 'Mend the login.\n\nUse conventional commits.' }]);
    expect((await ada('/schedules/every-night')).spec).toMatchObject({
      timeZone: 'Europe/Berlin',
      concurrencyPolicy: 'Replace',
      startingDeadlineSeconds: 300,
      maxRetainedTasks: 4,
      suspend: false,
    });

    const second = await asAda();
    expect(lines(second.stdout)).toEqual([
      'unchanged CronTask/every-night',
      'unchanged Task/fix-login',
      'Nothing changed.',
    ]);
    expect((await ada('/named-tasks/fix-login')).id).toBe(id);

    expect((await ada('/schedules/every-night/suspend', 'POST')).spec.suspend).toBe(true);
    expect((await ada('/schedules/every-night/trigger', 'POST')).name).toMatch(/^every-night-\d+$/);
    expect((await ada('/schedules/every-night/history')).items).toHaveLength(1);
    expect((await ada('/schedules/every-night/resume', 'POST')).spec.suspend).toBe(false);
    write('task.yaml', kube('Task', 'fix-login', 'description: Mend the logout.'));
    expect(lines((await asAda()).stdout)).toEqual(['unchanged CronTask/every-night', 'changed Task/fix-login']);
    expect((await ada('/named-tasks/fix-login')).id).not.toBe(id);
  });

  it('O-72 sets the limits of C-25 on an Agent, from its AgentTemplate or a Registry', async () => {
    write('template.yaml', kube('AgentTemplate', 'base', `executorImage: ${image('a')}`));
    write(
      'registry.yaml',
      kube(
        'Registry',
        'all',
        `agents:\n    - { name: opencode, spec: { templateRef: { name: base }, maxConcurrentTasks: 2, quota: { maxTaskStarts: 9, windowSeconds: 60 }, standby: { idleTimeout: 30m } } }`,
      ),
    );
    expect(lines((await apply()).stdout)).toEqual(['created AgentTemplate/base', 'created Registry/all']);
    expect((await get('/limits')).items).toMatchObject([
      {
        target: 'opencode',
        maxConcurrentTasks: 2,
        quota: { maxTaskStarts: 9, windowSeconds: 60 },
        standby: { idleTimeout: '30m' },
      },
    ]);
    expect((await get('/registry/opencode')).spec.executorImage).toBe(image('a'));
    expect((await apply()).stdout).toContain('Nothing changed.');
  });

  it('says of an older service that it has no schedules', async () => {
    write('cron.yaml', kube('CronTask', 'x', 'schedule: "0 2 * * *"\n  definition: { name: y }'));
    const old = createServer((_request, response) => {
      response.writeHead(404, { 'Content-Type': 'application/json' });
      response.end(JSON.stringify({ detail: 'GET does not exist.', code: 'not_found', request_id: 'r' }));
    });
    await new Promise<void>((settle) => old.listen(0, '127.0.0.1', settle));
    const { code, stderr } = await apply({}, admin, `http://127.0.0.1:${(old.address() as AddressInfo).port}`);
    old.closeAllConnections();
    await new Promise((settle) => old.close(settle));
    expect([code, stderr]).toEqual([2, expect.stringMatching(/CronTask\/x: this service has no schedules/)]);
  });

  it('checks everything before it sends anything, and names every fault with its file and line', async () => {
    write('a.yaml', `${workflow('fine')}---${workflow('broken').replace('generate_code', 'dance')}`);
    write('b.yaml', 'a: [1');
    write(
      'c.yaml',
      `${workflow('typo').replace('spec:', 'spec:\n  colour: red')}---\nkind: Pod\napiVersion: v1\nmetadata: { name: x }\n---${workflow('fine')}`,
    );
    write('d.yaml', '- 1');

    const { code, stdout, stderr } = await apply();

    expect([code, stdout]).toEqual([2, '']);
    for (const words of [
      /a\.yaml:\d+: Workflow\/broken: .*no action 'dance'/,
      /b\.yaml:\d+: this is not YAML/,
      /c\.yaml:\d+: Workflow\/typo: .*colour/,
      /c\.yaml:\d+: kind Pod is not known/,
      /c\.yaml:\d+: Workflow\/fine stands in .*a\.yaml:\d+ too/,
      /d\.yaml:1: this is no manifest/,
      /Nothing was sent\.$/,
    ])
      expect(stderr).toMatch(words);
    expect((await get('/definitions')).items).toEqual([]);
  });

  it('says with --dry-run what would be, and sends nothing', async () => {
    write('a.yaml', workflow('one'));
    expect(lines((await apply({ dryRun: true })).stdout)).toEqual([
      'created Workflow/one',
      'Nothing was sent: this is what would be.',
    ]);
    expect((await get('/definitions')).items).toEqual([]);
  });

  it('refuses for somebody who may not, before anything is sent', async () => {
    write('a.yaml', `${workflow('one')}---${agent('my-agent', `  executorImage: ${image('a')}\n`)}`);
    const { code, stderr } = await apply({}, outrigger.people.ada);
    expect([code, stderr]).toEqual([
      2,
      expect.stringMatching(/Agent\/my-agent: .*organization admin[^]*Nothing was sent/),
    ]);
    expect((await get('/definitions')).items).toEqual([]);
  });

  it('names what was done where the service breaks off in the middle', async () => {
    write('a.yaml', ['one', 'two', 'three'].map((name) => workflow(name)).join('---'));
    const relay = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        if (request.method === 'PUT' && request.url?.endsWith('/two')) {
          response.writeHead(503, { 'Content-Type': 'application/json' });
          response.end(JSON.stringify({ detail: 'It stops.', code: 'stopping', request_id: 'r1' }));
          return;
        }
        const { 'coder-session-token': token } = request.headers;
        void fetch(outrigger.url + String(request.url), {
          method: request.method ?? 'GET',
          headers: { 'Coder-Session-Token': String(token), 'Content-Type': 'application/json' },
          ...(chunks.length === 0 ? {} : { body: Buffer.concat(chunks) }),
        }).then(async (answer) => response.writeHead(answer.status).end(await answer.text()));
      });
    });
    await new Promise<void>((settle) => relay.listen(0, '127.0.0.1', settle));
    const { port } = relay.address() as AddressInfo;

    const { code, stderr } = await apply({}, admin, `http://127.0.0.1:${port}`);
    relay.closeAllConnections();
    await new Promise((settle) => relay.close(settle));

    expect(code).toBe(1);
    expect(stderr).toMatch(
      /Workflow\/two: It stops\. \(request r1\)\nDone before it: created Workflow\/one\. Not sent: Workflow\/three\./,
    );
    expect((await get('/definitions')).items.map(({ name }: { name: string }) => name)).toEqual(['one']);
  });
});
