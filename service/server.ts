import { limits, type Agent } from '../modules/contract.ts';
import type { Route } from './platform/http.ts';
import { withApiDocument } from './platform/openapi-routes.ts';
import { startTracing } from './platform/tracing.ts';
import { makeWebServer } from './platform/web-server.ts';
import { makeBase } from './server-base.ts';
import { openData, type Undo } from './server-data.ts';
import { makeGuards, makeMustBeOn } from './server-guards.ts';
import { scheduleJobs } from './server-jobs.ts';
import type { ServiceOptions } from './server-options.ts';
import { makeRoutes } from './server-routes.ts';
import { makeWork } from './server-work.ts';

/** A running service. */
export interface Service {
  /** Where it listens, e.g. `http://127.0.0.1:7676`. */
  readonly url: string;
  /** Every agent of the registry. */
  readonly agents: readonly Agent[];
  /** Everything it answers, for whoever wants to try all of it. */
  readonly routes: readonly Route[];
  /** Takes no more work, says goodbye to bridges and watchers, lets open steps finish, and ends. Idempotent. */
  stop(): Promise<void>;
}

/** How often waiting tasks are looked at even if nothing happened. */
const admitEveryMs = 1_000;
const chainEveryMs = 1_000;
const lookForDueEveryMs = 1_000;
/** How often this process says which agents it executes. */
const announceEveryMs = 10_000;
const drainMs = 5_000;

/** Builds every room, joins them and starts: database, migrations, engine, HTTP. Undone again if a part fails. */
export async function startService(options: ServiceOptions): Promise<Service> {
  const undo: Undo = [];
  try {
    return await build(options, undo);
  } catch (error) {
    for (const step of undo.reverse()) await step().catch(() => undefined);
    throw error;
  }
}

async function build(options: ServiceOptions, undo: Undo): Promise<Service> {
  const { config, clock, log } = options;
  if (config.traceEndpoint !== undefined) undo.push(startTracing({ endpoint: config.traceEndpoint }));
  const data = await openData(options, undo);
  const base = makeBase(options, data);
  const work = makeWork(base);
  const { audit, broker, chainer, engine, gateway, gitIdentity, identity, listener, presence } = base;
  const { admission, agents, hub, progress, schedules, stream, watch } = work;
  scheduleJobs(base, work);
  let ready = false;
  const web = makeWebServer({
    guards: makeGuards(identity, gateway, gitIdentity),
    mustBeOn: makeMustBeOn(config.flags),
    clock,
    log,
    bodyLimitBytes: limits.jsonBodyBytes,
    routes: withApiDocument(makeRoutes(base, work, () => ready)),
  });
  hub.attach(web.server);

  undo.push(() => listener.stop());
  await listener.start();
  undo.push(() => gateway.close());
  undo.push(() => broker.close());
  await gateway.recoverLostCalls();
  undo.push(() => chainer.stop());
  undo.push(() => audit.flush());
  chainer.start(chainEveryMs);
  undo.push(() => engine.stop());
  await engine.start();
  data.own();
  undo.push(() => admission.stop());
  admission.start(admitEveryMs);
  undo.push(() => schedules.stop());
  schedules.start(lookForDueEveryMs);
  undo.push(() => presence.stop());
  await presence.announce();
  presence.start(announceEveryMs);
  undo.push(() => web.close(drainMs));
  undo.push(() => hub.drain());
  const address = await web.listen(config.listen);
  ready = true;
  undo.push(() => {
    ready = false;
    stream.drain();
    progress.drain();
    watch.drain();
    return Promise.resolve();
  });

  const url = `http://${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`;
  let stopping: Promise<void> | undefined;
  return {
    url,
    routes: web.routes,
    agents,
    stop() {
      stopping ??= (async () => {
        for (const step of undo.reverse())
          await step().catch((error: unknown) => log.warn({ error }, 'a part did not stop cleanly'));
      })();
      return stopping;
    },
  };
}
