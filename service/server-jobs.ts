import { forgetOldFrames } from './bridge/bridge-store.ts';
import { forgetOldKeys } from './platform/idempotency.ts';
import { endUnanswered, goOnAnswered } from './tasks/end-unanswered.ts';
import { pruneRecords } from './tasks/record/retention.ts';
import { sweepLostAttempts } from './tasks/sweep.ts';
import { sweepLostWorkflows } from './workflows/sweep.ts';
import { forgetDeletedWorkspaces } from './workspaces/forget-workspaces.ts';
import { stopIdleWorkspaces } from './workspaces/standby.ts';
import type { Base } from './server-base.ts';
import type { Work } from './server-work.ts';

/** What the service does by itself, by the clock. */
export function scheduleJobs(base: Base, work: Work): void {
  const { clock, log, database, engine, audit, coder, builds, gateway } = base;
  const { approvals, settleParts, runParts } = work;
  engine.schedule('sweep', '* * * * *', async () => {
    await sweepLostAttempts({ ...settleParts, database, engine, log });
    await database.transaction((tx) => approvals.expireWithoutTask(tx));
    await endUnanswered({ ...settleParts, database, engine });
    await goOnAnswered({ database, clock });
    await sweepLostWorkflows(engine, runParts);
  });
  engine.schedule('tidy-model-calls', '* * * * *', () => gateway.tidy());
  engine.schedule('forget-workspaces', '*/10 * * * *', async () => {
    await forgetDeletedWorkspaces({ database, audit, clock, log, builds });
  });
  engine.schedule('standby', '* * * * *', async () => {
    await stopIdleWorkspaces({ database, audit, clock, log, coder, builds });
  });
  engine.schedule('prune-records', '37 * * * *', async () => {
    await pruneRecords({ database, audit, clock, log });
  });
  engine.schedule('housekeeping', '17 * * * *', () =>
    database.transaction(async (tx) => {
      await forgetOldKeys(tx, clock);
      await forgetOldFrames(tx, clock.now());
    }),
  );
}
