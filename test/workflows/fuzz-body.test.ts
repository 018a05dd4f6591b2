import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { startTestService, type TestService } from '../support/service.ts';
import { workflowsPath } from '../support/workflows-room.ts';

/** How many bodies are sent: `FUZZ_CASES=100000` for a long look (scripts/fuzz-workflows.sh), `FUZZ_SEED` repeats one. */
const cases = Number(process.env['FUZZ_CASES'] ?? 2_000);
const seed = process.env['FUZZ_SEED'];

let outrigger: TestService;
beforeAll(async () => {
  outrigger = await startTestService({ OUTRIGGER_RATE_LIMIT_PER_MINUTE: '1000000' });
});
afterAll(async () => {
  await outrigger.stop();
});

const anything = fc.anything({ maxDepth: 3, withNullPrototype: false });
/** Mostly what belongs there, sometimes anything at all. */
const mostly = (arbitrary: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> =>
  fc.oneof({ arbitrary, weight: 60 }, { arbitrary: anything, weight: 1 });
/** Nearly always the first, so that enough bodies come through to the last check. */
const usually = (usual: string, ...others: readonly string[]): fc.Arbitrary<unknown> =>
  mostly(fc.oneof({ arbitrary: fc.constant(usual), weight: 20 }, { arbitrary: fc.constantFrom(...others), weight: 1 }));
const id = fc.oneof(
  { arbitrary: fc.constantFrom('a', 'b', 'c', 'd'), weight: 60 },
  { arbitrary: fc.string({ maxLength: 70 }), weight: 1 },
  { arbitrary: fc.constantFrom('__proto__', 'constructor', 'toString', '{{steps.a.output}}', '\u0000'), weight: 1 },
);
const text = fc.oneof(
  { arbitrary: fc.string({ minLength: 1, maxLength: 40 }), weight: 10 },
  fc.constantFrom('{{steps.a.output}}', '{{ steps.b.commit }}', '{{steps..output}}', '\ud800', 'x'.repeat(300_000)),
);
const whole = fc.oneof(
  { arbitrary: fc.integer({ min: 10, max: 100 }), weight: 20 },
  fc.integer({ min: -5, max: 20_000 }),
  fc.double(),
  fc.constantFrom(2 ** 53, -1, 1e308),
);

const step = fc.record(
  {
    id: mostly(id),
    agent: usually('opencode', 'kubernetes', 'agentzero', 'robot', '__proto__'),
    task: usually('generate_code', 'apply_manifest', 'get', 'fly', 'constructor'),
    depends_on: mostly(fc.array(id, { maxLength: 1 })),
    on_failure_of: mostly(fc.array(id, { maxLength: 1 })),
    approval: mostly(fc.boolean()),
    params: mostly(
      fc.record({ prompt: mostly(text), manifest: mostly(text), language: mostly(text) }, { requiredKeys: [] }),
    ),
    workspace_id: usually('ws-123', 'ada/ws-123', 'bob/none', '../..', '%00'),
    profile: usually('ask', 'trusted', 'read-only'),
    model: usually('scripted/test', 'acme/none', ''),
    verify: mostly(
      fc.record({ argv: mostly(fc.array(text, { minLength: 1, maxLength: 3 })), timeout_seconds: mostly(whole) }),
    ),
    priority: mostly(whole),
    timeout_seconds: mostly(whole),
    retry: mostly(
      fc.record({ max: mostly(fc.integer({ min: 0, max: 11 })), backoff_seconds: mostly(whole) }, { requiredKeys: [] }),
    ),
    fallback: mostly(fc.record({ agent: usually('opencode', 'robot'), model: mostly(text) }, { requiredKeys: [] })),
    budget_micro_usd: mostly(whole),
  },
  { requiredKeys: ['id', 'agent', 'task'] },
);
/** Half of the time a graph that holds, so that what comes after the graph is checked too. */
const steps = fc.oneof(
  fc.array(step, { maxLength: 5 }),
  fc
    .array(step, { minLength: 1, maxLength: 3 })
    .map((drafts) =>
      drafts.map((draft, at) => ({ ...draft, id: `s${at}`, depends_on: at === 0 ? [] : ['s0'], on_failure_of: [] })),
    ),
);
const body = fc.oneof(
  {
    arbitrary: fc.record(
      {
        name: usually('w', ' ', 'ä'.repeat(250), '\u0000'),
        workspace_id: usually('ws-123', 'nowhere'),
        max_parallel: mostly(whole),
        approved_cost_micro_usd: mostly(whole),
        steps: mostly(steps),
      },
      { requiredKeys: ['name', 'steps'] },
    ),
    weight: 9,
  },
  { arbitrary: anything, weight: 1 },
);

/** As a client would send it; what JSON cannot say becomes something else that it can. */
function asJson(value: unknown): string {
  try {
    return JSON.stringify(value, (_key, one: unknown) => (typeof one === 'bigint' ? one.toString() : one)) ?? '';
  } catch {
    return '{';
  }
}

const statuses: readonly number[] = [200, 201, 400, 404, 413, 422, 429, 503];

describe('any body of a workflow', () => {
  it(
    `is taken or refused with a reason, never answered 500 (${cases} of them)`,
    async () => {
      const counts = new Map<number, number>();
      let sent = 0;
      const send = async (value: unknown): Promise<void> => {
        // Most are only checked: a dry run goes through every check and stores nothing.
        const path = (sent += 1) % 4 === 0 ? workflowsPath : `${workflowsPath}?dry_run=true`;
        const answer = await outrigger.call(outrigger.people.ada, 'POST', path, asJson(value) || '""');
        counts.set(answer.status, (counts.get(answer.status) ?? 0) + 1);
        expect({ status: answer.status, isKnown: statuses.includes(answer.status) }).toMatchObject({ isKnown: true });
        if (answer.status >= 400)
          expect(answer.body).toMatchObject({ code: expect.stringMatching(/^[a-z_]+$/), detail: expect.any(String) });
      };
      await fc.assert(fc.asyncProperty(body, send), {
        numRuns: cases,
        ...(seed === undefined ? {} : { seed: Number(seed) }),
      });
      // A fuzz that never gets past the first check says little.
      for (const status of [200, 400, 422]) expect([status, counts.get(status) ?? 0]).not.toEqual([status, 0]);
    },
    6 * 3_600_000,
  );
});
