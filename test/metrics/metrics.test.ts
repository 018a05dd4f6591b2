import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { sql } from 'kysely';
import { metricsRoutes } from '../../service/metrics/metrics-routes.ts';
import { makeMetrics } from '../../service/metrics/metrics.ts';
import { eventually } from '../support/clock.ts';
import { goodEvidence, takeLease } from '../support/fake-bridge.ts';
import { startTestService, type TestService } from '../support/service.ts';

const token = 'metrics-token-of-this-test';
let outrigger: TestService;
beforeAll(async () => {
  outrigger = await startTestService({ METRICS_TOKEN: token });
});
afterAll(() => outrigger.stop());

const scrape = async (): Promise<string> => {
  const answer = await outrigger.call(null, 'GET', '/metrics', undefined, { Authorization: `Bearer ${token}` });
  expect(answer.status).toBe(200);
  return String(answer.body);
};
const valueOf = (text: string, series: string): number | undefined => {
  const line = text.split('\n').find((one) => one.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length + 1));
};

describe('S-95 /metrics', () => {
  it('answers whoever shows METRICS_TOKEN, and nobody else', async () => {
    expect(await scrape()).toContain('process_cpu_seconds_total');
    for (const headers of [{}, { Authorization: 'Bearer wrong' }, { Authorization: token }])
      expect((await outrigger.call(null, 'GET', '/metrics', undefined, headers)).status).toBe(401);
    const { admin } = outrigger.people;
    expect((await outrigger.call(admin, 'GET', '/metrics')).status).toBe(401);
  });

  it('does not exist where no token is configured', () => {
    expect(metricsRoutes(makeMetrics(), undefined)).toEqual([]);
    expect(metricsRoutes(makeMetrics(), token)).toHaveLength(1);
  });

  it('S-96 tells how long tasks took and what became of them, by agent and action', async () => {
    const bridge = await outrigger.bridge();
    const submitted = await outrigger.call(outrigger.people.ada, 'POST', '/api/v2/agents/opencode/tasks', {
      type: 'opencode',
      payload: { action: 'generate_code', prompt: 'Do it' },
    });
    await eventually('the task to wait', async () => /outrigger_tasks\{state="\w+"\} 1/.test(await scrape()));
    const lease = await takeLease(bridge);
    await bridge.event(lease, 1, 'session.opened', { session_id: 'ses_1' });
    await bridge.request('result', { ...lease, evidence: goodEvidence() });
    const path = `/api/v2/agents/tasks/${submitted.body.id}`;
    await eventually(
      'the end',
      async () => (await outrigger.call(outrigger.people.ada, 'GET', path)).body.state === 'finished',
    );

    const text = await scrape();
    const of = 'agent="opencode",action="generate_code",outcome="succeeded"';
    expect(valueOf(text, `outrigger_tasks_finished_total{${of},reason="none"}`)).toBe(1);
    expect(valueOf(text, `outrigger_task_duration_seconds_count{${of}}`)).toBe(1);
    expect(text).not.toMatch(/outrigger_tasks\{/);
    expect(text).toMatch(
      /outrigger_coder_call_duration_seconds_count\{method="GET",route="[^"]+",result="200"\} [1-9]/,
    );
    bridge.close();
  });

  it('counts secrets that should have been replaced, by organization (part of S-61)', async () => {
    const { admin } = outrigger.people;
    const past = new Date(outrigger.clock.now().getTime() - 1_000).toISOString();
    const path = `/api/v2/agents/secrets/old?rotate_after=${past}`;
    expect((await outrigger.call(admin, 'PUT', path, { key: 'a value' })).status).toBe(200);

    expect(await scrape()).toMatch(/outrigger_secrets_overdue\{organization_id="[0-9a-f-]+"\} 1\n/);
    expect(await scrape()).not.toContain('a value');
  });

  it('says which numbers it could not look up, and answers the others', async () => {
    await sql`alter table dead_letter rename to elsewhere`.execute(outrigger.database.as<unknown>());
    try {
      const text = await scrape();
      expect(valueOf(text, 'outrigger_metrics_failed_total{metric="outrigger_dead_letters"}')).toBe(1);
      expect(valueOf(text, 'outrigger_dead_letters')).toBeUndefined();
      expect(valueOf(text, 'outrigger_approvals_pending')).toBe(0);
    } finally {
      await sql`alter table elsewhere rename to dead_letter`.execute(outrigger.database.as<unknown>());
    }
  });
});

describe('a registry', () => {
  it('is of one process: a second one knows nothing of the first', async () => {
    const [one, other] = [makeMetrics(), makeMetrics()];
    one.addLooks([{ name: 'outrigger_only_here', help: 'A number.', read: () => 3 }]);

    expect(valueOf(await one.text(), 'outrigger_only_here')).toBe(3);
    expect(await other.text()).not.toContain('outrigger_only_here');
  });
});
