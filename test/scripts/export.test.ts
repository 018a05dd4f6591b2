import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { parseAllDocuments } from 'yaml';
import { applyFiles } from '../../scripts/apply.ts';
import { exportThings } from '../../scripts/export.ts';
import { startTestService, type Person, type TestService } from '../support/service.ts';
import { ran } from './template-harness.ts';

const root = join(import.meta.dirname, '..', '..');
const canary = 'canary-of-a-secret';

let outrigger: TestService;
let admin: Person;
let home: string;
beforeAll(async () => {
  outrigger = await startTestService({ OUTRIGGER_MAX_PROFILE: 'trusted' });
  admin = outrigger.coder.addUser({ username: 'orga', roles: ['organization-admin'] });
  outrigger.coder.addWorkspace({ owner: 'orga', name: 'admins', running: true });
  home = mkdtempSync(join(tmpdir(), 'outrigger-export-'));
});
afterAll(async () => {
  await outrigger.stop();
  rmSync(home, { recursive: true, force: true });
});

const asAdmin = (run: Parameters<typeof ran>[1]) =>
  ran({ coderUrl: outrigger.coder.url, token: admin.token, home }, run);
const exported = (flags: object, things: readonly string[] = []) =>
  asAdmin((around) => exportThings(things, { service: outrigger.url, ...flags }, around));
const applied = (...filename: string[]) =>
  asAdmin((around) => applyFiles({ output: 'text', service: outrigger.url, filename }, around));
const put = (path: string, body: object) => outrigger.call(admin, 'PUT', `/api/v2/agents${path}`, body);

describe('outrigger export', () => {
  it('says so where there is nothing, and asks what is meant', async () => {
    expect(await exported({ all: true })).toEqual({ code: 0, stdout: '', stderr: 'There is nothing to export.' });
    expect((await exported({})).code).toBe(2);
    expect((await exported({ all: true }, ['Workflow/x'])).code).toBe(2);
    expect(await exported({}, ['Workflow/x'])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/no Workflow\/x/),
    });
  });

  it('writes files of everything that apply takes back: into the same service as no change, into an empty one as all of it', async () => {
    const kube = { apiVersion: 'kubeopencode.io/v1alpha1' };
    await put('/secrets/ai', { key: canary });
    await put('/agent-templates/base', { ...kube, kind: 'AgentTemplate', metadata: { name: 'base' }, spec: {} });
    const credentials = [{ name: 't', env: 'T', secretRef: { name: 'ai', key: 'key' } }];
    await put('/registry/opencode', { ...kube, kind: 'Agent', metadata: { name: 'opencode' }, spec: { credentials } });
    await put('/limits/agent/opencode', { maxConcurrentTasks: 3 });
    const schedule = {
      schedule: '0 2 * * *',
      taskTemplate: { spec: { description: 'Do it.', workspace_id: 'admins' } },
    };
    await put('/schedules/nightly', { ...kube, kind: 'CronTask', metadata: { name: 'nightly' }, spec: schedule });
    expect((await applied(join(root, 'docs', 'workflows'))).code).toBe(0);

    const folder = join(home, 'all');
    const { code, stdout } = await exported({ all: true, output: folder });
    expect([code, stdout.split('\n').length]).toEqual([0, 7]);
    expect(readdirSync(folder).sort()).toEqual([
      'agent-opencode.yaml',
      'agenttemplate-base.yaml',
      'crontask-nightly.yaml',
      'workflow-api-with-tests-and-review.yaml',
      'workflow-deploy-with-approval.yaml',
      'workflow-fan-out-merge.yaml',
      'workflow-nightly-dependency-update.yaml',
    ]);
    const text = (): Record<string, string> =>
      Object.fromEntries(readdirSync(folder).map((file) => [file, readFileSync(join(folder, file), 'utf8')]));
    const before = text();
    expect(JSON.stringify(before)).not.toContain(canary);

    expect((await applied(folder)).stdout).toMatch(/\nNothing changed\.$/);
    await outrigger.database.pool.query(
      'truncate workflow_definition, agent_entry, agent_entry_version, agent_template, work_limit, schedule cascade',
    );
    const back = await applied(folder);
    expect([back.code, back.stdout.match(/^created/gm)?.length]).toEqual([0, 7]);
    await exported({ all: true, output: folder });
    expect(text()).toEqual(before);

    const one = await exported({}, ['workflow/fan-out-merge', 'Agent/opencode']);
    const kinds = parseAllDocuments(one.stdout).map(
      (document) => (document as { toJS(): { kind: string } }).toJS().kind,
    );
    expect(kinds).toEqual(['Workflow', 'Agent']);
  });
});
