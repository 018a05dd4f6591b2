import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';
import type { CoderCall } from '../coder/coder-call.ts';
import type { TaskRecord } from '../tasks/task.ts';

/** One value, or several told apart by labels. */
export type Reading = number | readonly { readonly labels: Readonly<Record<string, string>>; readonly value: number }[];

/** Something that is looked up when it is asked for, such as the length of a queue. */
export interface Look {
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly string[];
  readonly read: () => Promise<Reading> | Reading;
}

export interface Metrics {
  /** Counts a finished task. Every process counts what it settled itself: sum over processes. */
  taskFinished(task: TaskRecord): void;
  coderCalled(call: CoderCall): void;
  addLooks(looks: readonly Look[]): void;
  /** All of it in the text format of Prometheus. A look that fails leaves its metric out, and is counted. */
  text(): Promise<string>;
  readonly contentType: string;
}

/** Seconds; tasks take minutes to hours. */
const taskBuckets = [10, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 14_400];
const callBuckets = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** Metrics of this process, in a registry of their own. */
export function makeMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const finished = new Counter({
    name: 'outrigger_tasks_finished_total',
    help: 'Tasks that finished, by agent, action, outcome and reason.',
    labelNames: ['agent', 'action', 'outcome', 'reason'],
    registers,
  });
  const duration = new Histogram({
    name: 'outrigger_task_duration_seconds',
    help: 'From the start of a task to its end, by agent, action and outcome.',
    labelNames: ['agent', 'action', 'outcome'],
    buckets: taskBuckets,
    registers,
  });
  const calls = new Histogram({
    name: 'outrigger_coder_call_duration_seconds',
    help: 'Calls to Coder by method, route and what came of them: a status, or the kind of the error.',
    labelNames: ['method', 'route', 'result'],
    buckets: callBuckets,
    registers,
  });
  const failedLooks = new Counter({
    name: 'outrigger_metrics_failed_total',
    help: 'Metrics that could not be looked up.',
    labelNames: ['metric'],
    registers,
  });
  const looks: { readonly look: Look; readonly gauge: Gauge }[] = [];

  return {
    taskFinished({ agent, action, outcome, reason, startedAt, finishedAt }) {
      finished.inc({ agent, action, outcome: outcome ?? 'none', reason: reason ?? 'none' });
      if (startedAt && finishedAt)
        duration.observe(
          { agent, action, outcome: outcome ?? 'none' },
          (finishedAt.getTime() - startedAt.getTime()) / 1_000,
        );
    },
    coderCalled({ phase, method, route, status, error, durationMs }) {
      if (phase === 'intent') return;
      calls.observe({ method, route, result: String(status ?? error ?? 'none') }, (durationMs ?? 0) / 1_000);
    },
    addLooks(more) {
      for (const look of more) {
        const { name, help, labels = [] } = look;
        looks.push({ look, gauge: new Gauge({ name, help, labelNames: [...labels], registers }) });
      }
    },
    async text() {
      await Promise.all(looks.map((one) => lookUp(one, failedLooks)));
      return registry.metrics();
    },
    contentType: registry.contentType,
  };
}

/** What a look does not name any more is no longer told: a queue that emptied has no last length. */
async function lookUp({ look, gauge }: { look: Look; gauge: Gauge }, failed: Counter): Promise<void> {
  gauge.reset();
  try {
    const reading = await look.read();
    if (typeof reading === 'number') gauge.set(reading);
    else for (const { labels, value } of reading) gauge.set(labels, value);
  } catch {
    gauge.remove();
    failed.inc({ metric: look.name });
  }
}
