import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { Evidence, Lease } from '../../modules/contract.ts';
import { failedEvidence } from '../../service/tasks/task.ts';
import { eventually } from '../support/clock.ts';
import { goodEvidence, takeLease, type FakeBridge } from '../support/fake-bridge.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { startOutrigger, type OutriggerProcess } from './outrigger-process.ts';

let outrigger: TestService;
let bridge: FakeBridge;
beforeAll(async () => {
  outrigger = await startTestService();
  bridge = await outrigger.bridge();
});
afterAll(async () => {
  bridge.close();
  await outrigger.stop();
});

const start = (...words: string[]): OutriggerProcess =>
  startOutrigger(words, {
    CODER_URL: outrigger.coder.url,
    CODER_SESSION_TOKEN: outrigger.people.ada.token,
    OUTRIGGER_URL: outrigger.url,
  });
const run = (...words: string[]): OutriggerProcess => start('run', 'Add a test', '--workspace', 'ws-123', ...words);
const report = (lease: Lease, evidence: Evidence) => bridge.request('result', { ...lease, evidence });
const began = (lease: Lease) => bridge.event(lease, 1, 'session.opened', { session_id: 'ses_1' });
const receipt = {
  stopped_at: '2026-01-01T00:00:00.000Z',
  method: 'abort',
  processes_left: 0,
  tokens_after_stop: 0,
} as const;
const stopped = goodEvidence({ last_message: null, commit: null, stop: receipt });
const commanded = (lease: Lease) =>
  eventually('the command to stop', () =>
    Promise.resolve(
      bridge.commands.some(({ type, payload }) => type === 'stop' && (payload as Lease).task_id === lease.task_id),
    ),
  );

describe('C-30 outrigger run --wait', () => {
  it('exits 0 when the work is done, after it told what happened as it happened', async () => {
    const process = run('--verify', 'npm test', '--wait');
    const lease = await takeLease(bridge);
    await began(lease);
    await bridge.event(lease, 2, 'bridge.notice', { notice: 'red \u001b[31m' });
    await eventually('the notice while the task runs', () => Promise.resolve(process.said().includes('notice: red')));
    await report(lease, goodEvidence({ verify: { exit: 0, timed_out: false, output: '' } }));
    const { status, stdout, stderr } = await process.ended;

    expect({ status, verify: lease.verify }).toEqual({
      status: 0,
      verify: { argv: ['npm', 'test'], timeout_seconds: 600 },
    });
    expect(stderr).toContain('notice: red \\u001b[31m');
    expect(stdout).toContain(`task        ${lease.task_id}`);
    expect(stdout).toMatch(/^stands {6}succeeded$/m);
  });

  it('exits 1 when the agent failed', async () => {
    const process = run('--wait');
    const lease = await takeLease(bridge);
    await report(lease, failedEvidence({ reason: 'AgentError', message: 'It broke.', retryable: false }));

    expect(await process.ended).toMatchObject({ status: 1, stdout: expect.stringContaining('failed (AgentError)') });
  });

  it('exits 2 when something the task needs is missing', async () => {
    const process = run('--wait');
    const lease = await takeLease(bridge);
    await report(lease, failedEvidence({ reason: 'ContextError', message: 'No repository.', retryable: false }));

    expect(await process.ended).toMatchObject({ status: 2, stdout: expect.stringContaining('No repository.') });
  });

  it('exits 124 when the task ran out of its time', async () => {
    const process = run('--timeout', '10', '--wait');
    const lease = await takeLease(bridge);
    await began(lease);
    await commanded(lease);
    await report(lease, stopped);

    expect(await process.ended).toMatchObject({ status: 124, stdout: expect.stringContaining('timed_out (Timeout)') });
  });

  it('exits 143 when somebody stopped the task', async () => {
    const process = run('--wait');
    const lease = await takeLease(bridge);
    await began(lease);
    const stop = await start('task', 'stop', lease.task_id).ended;
    await commanded(lease);
    await report(lease, stopped);

    expect(stop).toMatchObject({ status: 0, stdout: `${lease.task_id}  stopping\n` });
    expect(await process.ended).toMatchObject({
      status: 143,
      stdout: expect.stringContaining('stopped (UserStopped)'),
    });
  });
});

describe('outrigger task', () => {
  it('submits without waiting, lists, shows and prints the events of a task', async () => {
    const submitted = await run('--key', 'once', '--output', 'json').ended;
    const { id } = JSON.parse(submitted.stdout) as { id: string };
    await report(await takeLease(bridge), goodEvidence());
    const again = await run('--key', 'once').ended;
    const listed = await start('task', 'list', '--limit', '1').ended;
    const shown = await start('task', 'show', id, '--output', 'json').ended;
    const events = await start('task', 'events', id).ended;

    expect(again.stdout).toBe(`${id}\n`);
    expect(listed.stdout).toMatch(new RegExp(`^${id} {2}succeeded`));
    expect(listed.stderr).toContain('older ones');
    expect(JSON.parse(shown.stdout)).toMatchObject({ id, outcome: 'succeeded', exit_code: 0 });
    expect(events.stdout).toMatch(/^ {3}1 .* #0 {2}queued\n[^]*finished: succeeded\n$/);
  });

  it('says in one sentence what is wrong, and exits 1 for a refusal and 2 for a missing prerequisite', async () => {
    const unknown = await start('task', 'show', '0190d7a0-0000-7000-8000-000000000001').ended;
    const quoted = await run('--verify', 'sh -c "npm test"').ended;
    const nobody = await startOutrigger(['run', 'Do it'], { CODER_URL: outrigger.coder.url }).ended;

    expect(unknown).toMatchObject({ status: 1, stderr: expect.stringMatching(/^Task '0190.*\n$/) });
    expect(quoted).toMatchObject({ status: 2, stderr: expect.stringContaining('JSON list') });
    expect(nobody).toMatchObject({ status: 2, stderr: expect.stringContaining('CODER_SESSION_TOKEN') });
  });
});
