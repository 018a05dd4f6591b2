import { startWorker } from '../support/replicas/worker.ts';
import type { Measurement } from './measurement.ts';
import { milliseconds, seconds } from './statistics.ts';
import { until } from './waiting.ts';

const wide = 10;
const deep = 100;

/** A workflow of 1,000 steps that do nothing: 100 layers of ten, each step after two of the layer before. */
export const measureGraph: Measurement = {
  name: 'graph',
  title: `a workflow of ${wide * deep} steps that do nothing`,
  limitMs: 600_000,
  async measure(ground, tell) {
    const stage = ground.stage(await ground.newDatabase('graph'));
    await ground.start(stage);
    const workspaces = Array.from({ length: wide }, (_none, index) => ground.addWorkspace(`graph-${index}`));
    for (const workspace of workspaces) {
      const proof = await ground.proof(stage, workspace);
      const { id: workspaceId, agentId } = workspace;
      const work = (): Promise<void> => Promise.resolve();
      const worker = startWorker({ url: stage.serviceUrl, proof, workspaceId, agentId, slots: 1, work });
      ground.afterwards(() => worker.stop());
    }
    const api = ground.api(stage);
    const steps = Array.from({ length: wide * deep }, (_none, number) => {
      const [layer, place] = [Math.floor(number / wide), number % wide];
      const before = (other: number): string => `s${layer - 1}-${(place + other) % wide}`;
      return {
        id: `s${layer}-${place}`,
        agent: 'opencode',
        task: 'generate_code',
        workspace_id: workspaces[place]?.id,
        params: { prompt: 'Nothing.' },
        ...(layer === 0 ? {} : { depends_on: [before(0), before(1)] }),
      };
    });
    const from = performance.now();
    const { id } = await api.post<{ id: string }>('/api/v2/agents/agentzero/workflows', {
      name: 'Large',
      max_parallel: wide,
      steps,
    });
    const acceptedMs = performance.now() - from;
    tell(`accepted in ${milliseconds(acceptedMs)}`);
    const path = `/api/v2/agents/agentzero/workflows/${id}`;
    let outcome: string | null = null;
    await until(async () => {
      outcome = (await api.get<{ outcome: string | null }>(path)).outcome;
      return outcome !== null;
    }, 500);
    const tookMs = performance.now() - from;
    const readFrom = performance.now();
    await api.get(path);
    return [
      { what: 'submit → 201', value: milliseconds(acceptedMs), note: 'graph, agents and workspaces checked' },
      {
        what: 'submit → finished',
        value: seconds(tookMs),
        note: `${outcome}; ${deep} layers of ${wide}, one place each`,
      },
      { what: '  a layer', value: milliseconds(tookMs / deep), note: 'from one to the next' },
      {
        what: 'read it whole',
        value: milliseconds(performance.now() - readFrom),
        note: '1,000 steps with their outputs',
      },
    ];
  },
};
