import { randomBytes, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { IdeReport } from '../../modules/contract.ts';
import { makeAuditLog } from '../../service/audit/audit-log.ts';
import { silentLogger } from '../../service/platform/logger.ts';
import { saveRecreation } from '../../service/workspaces/ide-store.ts';
import { makeIdeReports } from '../../service/workspaces/reconcile-ide.ts';
import { templates } from '../../stacks/templates.ts';
import { eventually } from '../support/clock.ts';
import type { FakeBridge } from '../support/fake-bridge.ts';
import { startTestService, type Answer, type TestService } from '../support/service.ts';

const fixture = (name: string): Record<string, unknown> =>
  JSON.parse(readFileSync(join(import.meta.dirname, '..', 'fixtures', 'ide', name), 'utf8')) as Record<string, unknown>;

let outrigger: TestService;
let bridge: FakeBridge;
beforeEach(async () => {
  outrigger = await startTestService();
});
afterEach(() => outrigger.stop());

const path = (suffix = '', id = outrigger.workspace.id): string => `/api/v2/agents/workspaces/${id}${suffix}`;
const ada = (method: string, suffix = '/ide', body?: unknown): Promise<Answer> =>
  outrigger.call(outrigger.people.ada, method, path(suffix), body);
const heartbeat = (ide?: IdeReport): Promise<unknown> =>
  bridge.request('heartbeat', { holding: [], status: 'idle', ...(ide ? { ide } : {}) });
const told = (): unknown[] => bridge.commands.filter(({ type }) => type === 'ide').map(({ payload }) => payload);
const toldTimes = (count: number): Promise<unknown> =>
  eventually(`${count} frames about the IDE`, () => Promise.resolve(told().length === count));
/** Waits until the bridge's answers have arrived, so that no command is on its way. */
const answered = (): Promise<unknown> =>
  eventually('the answers to arrive', async () => {
    const { rows } = await outrigger.database.pool.query('select 1 from bridge_frame where acked_at is null');
    return rows.length === 0;
  });
const audited = async (): Promise<{ action: string; actor: string }[]> => {
  const { rows } = await outrigger.database.pool.query<{ action: string; actor: string }>(
    `select action, actor from audit_event where action like 'workspace.ide%' order by id`,
  );
  return rows;
};
const on: IdeReport = { enabled: true, phase: null, message: '' };
const off: IdeReport = { enabled: false, phase: null, message: '' };
const url = (): string => `${outrigger.coder.url}/@ada/ws-123.main/apps/ide/`;

describe('the IDE of a workspace', () => {
  beforeEach(async () => {
    bridge = await outrigger.bridge();
  });

  it('I-07 I-32 I-34 is asked for, starts without a build, is there and is put off again (part of C-19)', async () => {
    const before = outrigger.coder.calls.length;
    const asked = await ada('POST');
    await toldTimes(1);
    await heartbeat(on);
    await heartbeat({ ...on, phase: 'Starting', message: 'installing' });
    const starting = await ada('GET');
    await heartbeat({ ...on, phase: 'Ready' });
    const there = await ada('GET');
    const again = await ada('POST');
    const ended = await ada('DELETE');
    await toldTimes(2);
    await heartbeat({ ...off, phase: 'Stopped' });
    const gone = await ada('GET');
    const goneAgain = await ada('DELETE');

    expect([asked.status, asked.body]).toEqual([202, { phase: 'Pending' }]);
    expect(starting.body).toEqual({ idePhase: 'Starting', ideMessage: 'installing' });
    expect(there.body).toEqual({ ...fixture('status.response.json'), ideURL: url() });
    expect([again.status, again.body]).toEqual([200, { ...fixture('enable.response.json'), ideURL: url() }]);
    expect([ended.status, ended.body]).toEqual([202, { phase: 'Pending' }]);
    expect(gone.body).toEqual({ idePhase: 'Disabled', ideMessage: '' });
    expect([goneAgain.status, goneAgain.body]).toEqual([200, { phase: 'Disabled' }]);
    expect(told()).toEqual([{ enabled: true }, { enabled: false }]);
    const toCoder = outrigger.coder.calls.slice(before).map(({ method, path: route }) => `${method} ${route}`);
    expect(toCoder.filter((call) => call.includes('builds'))).toEqual([]);
  });

  it('writes one audit event per change, none for a repetition (part of D11)', async () => {
    for (const method of ['POST', 'POST', 'DELETE', 'DELETE']) await ada(method);

    const actor = `user:${outrigger.people.ada.id}`;
    expect(await audited()).toEqual([
      { action: 'workspace.ide_enabled', actor },
      { action: 'workspace.ide_disabled', actor },
    ]);
  });

  it('is waited for as long as the caller wants, and no longer than it takes', async () => {
    const waiting = ada('POST', '/ide?wait=50');
    await toldTimes(1);
    await heartbeat({ ...on, phase: 'Ready' });
    const there = await waiting;
    const short = await ada('DELETE', '/ide?wait=1');

    expect([there.status, there.body]).toEqual([200, { ideURL: url(), phase: 'Ready' }]);
    expect([short.status, short.body]).toEqual([202, { phase: 'Pending' }]);
  });

  it('is tried once more when it failed and is asked for again, and says why it failed', async () => {
    await ada('POST');
    await heartbeat({ ...on, phase: 'Failed', message: 'No \u001b[31mcode-server\u202e.' });
    const failed = await ada('GET');
    const again = await ada('POST');
    await toldTimes(2);

    expect(failed.body).toMatchObject({
      idePhase: 'Failed',
      ideMessage: expect.stringMatching(/^No {2}\[31mcode-server \. Ask for the IDE again/),
    });
    expect([again.status, again.body]).toEqual([202, { phase: 'Pending' }]);
  });

  it('is wished again where the workspace lives by another wish, at growing distances, until it holds (part of I-06)', async () => {
    await ada('POST');
    await toldTimes(1);
    await answered();
    const seen: number[] = [];
    for (const [report, laterMs] of [
      [off, 0],
      [off, 11_000],
      [off, 11_000],
      [off, 11_000],
      [on, 0],
      [off, 0],
    ] as const) {
      outrigger.clock.advance(laterMs);
      await heartbeat(report);
      // Commands are sent before the answer to the next heartbeat.
      await heartbeat();
      await answered();
      seen.push(told().length);
    }

    expect(seen).toEqual([1, 2, 2, 3, 3, 4]);
    expect((await audited()).map(({ action }) => action)).toEqual([
      'workspace.ide_enabled',
      ...Array<string>(3).fill('workspace.ide_repaired'),
    ]);
  });

  it('is wished when the bridge comes back, where it was asked for while no bridge was there', async () => {
    bridge.close();
    await bridge.closed;
    await eventually('the bridge to be gone', async () => (await ada('GET', '')).body.bridge.connected === false);
    const asked = await ada('POST');
    const status = await ada('GET');
    bridge = await outrigger.bridge();
    await toldTimes(1);

    expect(asked.status).toBe(202);
    expect(status.body).toEqual({ idePhase: 'Pending', ideMessage: 'The bridge of the workspace is not connected.' });
    expect(told()).toEqual([{ enabled: true }]);
  });

  it('is not changed by what a superseded registration says, however late it is heard', async () => {
    await ada('POST');
    await heartbeat({ ...on, phase: 'Starting' });
    const { database, clock } = outrigger;
    const audit = makeAuditLog({ database, keys: { hmac: randomBytes(32) }, clock, log: silentLogger });
    const hear = makeIdeReports({ database, audit, clock });
    const identity = {
      workspaceId: outrigger.workspace.id,
      generation: 1,
      ownerId: outrigger.people.ada.id,
      organizationId: randomUUID(),
    };
    await hear({ ...identity, generation: 0 }, { ...on, phase: 'Ready' });
    const superseded = await ada('GET');
    await hear(identity, { ...on, phase: 'Ready' });

    expect(superseded.body).toEqual({ idePhase: 'Starting', ideMessage: '' });
    expect((await ada('GET')).body.idePhase).toBe('Ready');
  });

  it.each<[string, unknown]>([
    ['a phase nobody knows', { ...on, phase: 'Owned' }],
    ['a wish that is no boolean', { ...on, enabled: 'yes' }],
    ['a message without end', { ...on, message: 'x'.repeat(501) }],
    ['no object', 'Ready'],
  ])('refuses a heartbeat with %s', async (_title, ide) => {
    const id = randomUUID();
    const frame = { id, type: 'heartbeat', payload: { holding: [], status: 'idle', ide } };

    expect(await bridge.raw(id, JSON.stringify(frame))).toMatchObject({ success: false });
    expect((await ada('GET')).body).toEqual({ idePhase: 'Disabled', ideMessage: '' });
  });
});

describe('where the IDE stands', () => {
  it('I-07 I-33 is told in every phase, also while the workspace is being built anew', async () => {
    const seen: unknown[] = [];
    const look = async (): Promise<unknown> => seen.push((await ada('GET')).body.idePhase);
    bridge = await outrigger.bridge();
    await look();
    await ada('POST');
    await look();
    for (const phase of ['Starting', 'Ready', 'Failed'] as const) {
      await heartbeat({ ...on, phase });
      await look();
    }
    await outrigger.database.transaction((tx) =>
      saveRecreation(tx, outrigger.workspace.id, { replaces: 1, since: outrigger.clock.now() }),
    );
    await heartbeat({ ...on, phase: 'Ready' });
    const recreating = await ada('GET');

    expect(seen).toEqual(['Disabled', 'Pending', 'Starting', 'Ready', 'Failed']);
    expect(recreating.body).toEqual(fixture('status.recreating.response.json'));
  });
});

describe('a workspace as its people see it', () => {
  it('I-05 tells by `ideEnabled` what is wanted; the form of every template has `ide_enabled`, which the worker begins with', async () => {
    const before = await ada('GET', '');
    bridge = await outrigger.bridge();
    await ada('POST');
    await toldTimes(1);
    await heartbeat({ ...on, phase: 'Ready' });
    const after = await ada('GET', '');

    expect(before.body).toEqual({
      id: outrigger.workspace.id,
      name: 'ws-123',
      owner_id: outrigger.people.ada.id,
      owner_name: 'ada',
      organization_id: expect.any(String),
      organization_name: expect.any(String),
      template_name: 'docker',
      status: 'RUNNING',
      build_status: 'running',
      bridge: null,
      ideEnabled: false,
      idePhase: 'Disabled',
      ideMessage: '',
    });
    expect(after.body).toMatchObject({
      bridge: { connected: true, harness_version: '0.0.0-test' },
      ideEnabled: true,
      idePhase: 'Ready',
      ideURL: url(),
    });
    for (const { name } of templates) {
      const hcl = readFileSync(join(import.meta.dirname, '..', '..', 'templates', name, 'main.tf'), 'utf8');
      expect(hcl).toMatch(/\bname += "ide_enabled"/);
      expect(hcl).toMatch(/\bide_enabled += try\(tobool\(data\.coder_parameter\.ide_enabled\b/);
      expect(hcl).toMatch(/OUTRIGGER_IDE_ENABLED[\s\S]{0,80}local\.ide_enabled/);
    }
  });

  it.each(['GET', 'POST', 'DELETE'])('does not exist for others: %s of the IDE answers 404', async (method) => {
    const bob = await outrigger.call(outrigger.people.bob, method, path('/ide'));
    const nobody = await outrigger.call(null, method, path('/ide'));
    const unknown = await outrigger.call(outrigger.people.ada, method, path('/ide', randomUUID()));

    expect([bob.status, nobody.status, unknown.status]).toEqual([404, 401, 404]);
    expect(await audited()).toEqual([]);
  });

  it('does not exist for others as a whole either', async () => {
    expect((await outrigger.call(outrigger.people.bob, 'GET', path())).status).toBe(404);
  });

  it.each<[string, string, string, unknown, number, string]>([
    ['a wait that is too long', 'POST', '/ide?wait=61', undefined, 400, 'invalid_request'],
    ['a wait that is no number', 'DELETE', '/ide?wait=soon', undefined, 400, 'invalid_request'],
    ['an unknown field', 'POST', '/ide', { enabled: true }, 400, 'invalid_request'],
    ['a new build without consent', 'POST', '/ide', { recreate: true }, 409, 'ide_needs_build'],
  ])('refuses %s with a sentence and changes nothing', async (_title, method, suffix, body, status, code) => {
    const answer = await ada(method, suffix, body);

    expect([answer.status, answer.body.code]).toEqual([status, code]);
    expect(answer.body.detail.length).toBeGreaterThan(20);
    expect(await audited()).toEqual([]);
  });
});
