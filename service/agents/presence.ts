import { sql } from 'kysely';
import type { Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import type { Logger } from '../platform/logger.ts';
import type { Registry } from './registry.ts';

/** Says, for as long as this process lives, which agents it executes. */
export interface Presence {
  announce(): Promise<void>;
  start(intervalMs: number): void;
  /** Takes the word back, so that nobody counts on this process any more. */
  stop(): Promise<void>;
}

export interface PresenceParts {
  readonly database: Database;
  readonly registry: Registry;
  readonly clock: Clock;
  readonly log: Logger;
  readonly processId: string;
}

/** An agent that nobody announced for so long is unavailable. */
export const silentAfterMs = 45_000;
const forgetAfterMs = 86_400_000;

export function makePresence({ database, registry, clock, log, processId }: PresenceParts): Presence {
  let timer: NodeJS.Timeout | undefined;
  const announce = (): Promise<void> =>
    database.transaction(async (tx) => {
      const now = clock.now();
      for (const agent of registry.agents) {
        const actions = JSON.stringify(agent.actions.map(({ name }) => name));
        await sql`
          insert into agent_presence (agent, process_id, actions, seen_at)
          values (${agent.name()}, ${processId}, ${actions}::jsonb, ${now})
          on conflict (agent, process_id) do update set actions = excluded.actions, seen_at = excluded.seen_at
        `.execute(tx.as<unknown>());
      }
      const before = new Date(now.getTime() - forgetAfterMs);
      await sql`delete from agent_presence where seen_at < ${before}`.execute(tx.as<unknown>());
    });
  return {
    announce,
    start(intervalMs) {
      timer = setInterval(() => {
        announce().catch((error: Error) => log.warn({ error: error.message }, 'cannot announce the agents'));
      }, intervalMs);
    },
    async stop() {
      clearInterval(timer);
      await sql`delete from agent_presence where process_id = ${processId}`.execute(database.as<unknown>());
    },
  };
}

/** Where an agent stands: when it was last announced by any process, and with what. */
export interface Seen {
  readonly agent: string;
  readonly seenAt: Date;
  readonly isAvailable: boolean;
}

/** Agents that were announced, by name; with `action`, those that have it. */
export async function agentsSeen(
  database: Pick<Database, 'as'>,
  now: Date,
  action?: string,
): Promise<ReadonlyMap<string, Seen>> {
  const { rows } = await sql<{ agent: string; seen_at: Date }>`
    select agent, max(seen_at) as seen_at from agent_presence
     where ${action === undefined ? sql`true` : sql`actions @> ${JSON.stringify([action])}::jsonb`}
     group by agent`.execute(database.as<unknown>());
  return new Map(
    rows.map(({ agent, seen_at: seenAt }) => [
      agent,
      { agent, seenAt, isAvailable: now.getTime() - seenAt.getTime() < silentAfterMs },
    ]),
  );
}
