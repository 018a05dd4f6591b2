import { expect, it } from '@jest/globals';
import type { Agent, Task } from '../../modules/contract.ts';
import { catalogue } from '../../service/agents/actions.ts';
import { AgentFailure } from '../../service/agents/agent-failure.ts';

/** What the contract needs to know of an agent to try it. */
export interface AgentBench {
  readonly agent: () => Agent;
  /** A task that goes well, and what its output says. */
  readonly good: () => Promise<{ readonly task: Task; readonly output: RegExp }>;
  /** A task that fails, and why. */
  readonly bad: () => Promise<{ readonly task: Task; readonly reason: string }>;
  /** A task that does not end by itself. */
  readonly endless: () => Promise<Task>;
  /** Counts what the tasks did outside; a second execution adds nothing. */
  readonly effects: () => Promise<number>;
  /** Values that no result and no failure may hold. */
  readonly secrets: () => readonly string[];
}

const alive = (): AbortSignal => new AbortController().signal;

const failureOf = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  );

/** What every agent promises, as tests: registered by whoever describes an agent. */
export function itKeepsTheContract(name: string, bench: AgentBench): void {
  it('has one name, and supports the actions that the catalogue gives it and no others', () => {
    const agent = bench.agent();
    const all = Object.entries(catalogue).flatMap(([type, actions]) =>
      actions.map((action) => [type, action] as const),
    );

    expect([agent.name(), agent.name()]).toEqual([name, name]);
    for (const [type, action] of all) {
      expect(agent.supports({ type, action: action.name })).toBe(type === name);
      expect(agent.supports({ type: name, action: action.name })).toBe(type === name);
    }
    for (const action of ['', 'fly', 'constructor']) expect(agent.supports({ type: name, action })).toBe(false);
  });

  it('answers a task that goes well with what it did, and does nothing more when it is executed again', async () => {
    const { task, output } = await bench.good();
    const first = await bench.agent().execute(task, { signal: alive() });
    const effects = await bench.effects();
    const again = await bench.agent().execute(task, { signal: alive() });

    expect(first.output).toMatch(output);
    expect(first.objects).toEqual(expect.any(Array));
    expect(again.output).toMatch(output);
    expect(await bench.effects()).toBe(effects);
    for (const secret of bench.secrets()) expect(JSON.stringify([first, again])).not.toContain(secret);
  });

  it('fails a task that cannot be done with a reason and a sentence, and without a secret', async () => {
    const { task, reason } = await bench.bad();
    const failure = await failureOf(bench.agent().execute(task, { signal: alive() }));

    expect(failure).toBeInstanceOf(AgentFailure);
    expect(failure).toMatchObject({ reason, message: expect.stringMatching(/^.{10,}\.$/s) });
    for (const secret of bench.secrets()) expect(JSON.stringify(failure) + String(failure)).not.toContain(secret);
  });

  it('ends soon after it is told to', async () => {
    const task = await bench.endless();
    const end = new AbortController();
    const work = failureOf(bench.agent().execute(task, { signal: end.signal }));
    await new Promise((resolve) => setImmediate(resolve));
    const toldAt = performance.now();
    end.abort();

    expect(await work).toMatchObject({ name: 'AgentFailure' });
    expect(performance.now() - toldAt).toBeLessThan(10_000);
  });
}
