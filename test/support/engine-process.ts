/** A process with an engine, for tests that kill one or need two. Speaks over IPC: says 'started', hears 'stop'. */
import { openDatabase } from '../../service/platform/database.ts';
import { createEngine } from '../../service/platform/engine.ts';
import { ServiceError } from '../../service/platform/errors.ts';
import { silentLogger } from '../../service/platform/logger.ts';
import type { EngineProcessOptions } from './engine-harness.ts';

const { url, cron, ...options } = JSON.parse(process.argv[2] ?? '') as EngineProcessOptions & { executorId: string };
const database = openDatabase({ url });
const engine = createEngine({ database, log: silentLogger, singleProcess: true, pollMs: 20, ...options });

/** One row per time the effect happened. */
const effect = async (workflowId: string, name: string, detail: unknown = null): Promise<void> => {
  await database.pool.query('insert into effect (workflow_id, name, executor_id, detail) values ($1, $2, $3, $4)', [
    workflowId,
    name,
    options.executorId,
    JSON.stringify(detail),
  ]);
};

engine.register<{ timeoutMs: number }>('wait', async (context, input) => {
  const token = await context.step('before', async () => {
    await effect(context.workflowId, 'before');
    return `${options.executorId}-token`;
  });
  const message = await context.receive('go', input.timeoutMs);
  await context.step('after', () => effect(context.workflowId, 'after', { token, message }));
});

/** Gets as far as its second step and stays there: the moment a crash hurts most. */
engine.register('two-steps', async (context) => {
  await context.step('first', () => effect(context.workflowId, 'first'));
  await context.step('second', async () => {
    await effect(context.workflowId, 'second');
    const { rows } = await database.pool.query('select from effect where workflow_id = $1 and name = $2', [
      context.workflowId,
      'second',
    ]);
    if (rows.length === 1) await new Promise(() => undefined);
  });
});

engine.register('poison', async (context) => {
  await context.step('die', async () => {
    await effect(context.workflowId, 'die');
    process.kill(process.pid, 'SIGKILL');
    await new Promise(() => undefined);
  });
});

if (cron !== undefined) engine.schedule('tick', cron, (scheduledAt) => effect(scheduledAt.toISOString(), 'tick'));

process.on('message', () => {
  void engine
    .stop()
    .then(() => (database.pool.ended ? undefined : database.pool.end()))
    .then(() => process.disconnect());
});

try {
  await engine.start();
  process.send?.('started');
} catch (error) {
  process.stderr.write(error instanceof ServiceError ? `${error.kind} ${error.code}` : String(error));
  process.exit(2);
}
