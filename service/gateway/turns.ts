import { bulkhead, type BulkheadPolicy } from 'cockatiel';

/** So many looks at one organization's limits hold a connection to the database at once. */
const atOnce = 4;

/** Runs `work` when it is the organization's turn. */
export type Turns = <Result>(organizationId: string, work: () => Promise<Result>) => Promise<Result>;

/**
 * Looks at the limits of one organization wait for each other. Here they do it without a connection, of which all
 * organizations together have few.
 */
export function makeTurns(): Turns {
  const queues = new Map<string, BulkheadPolicy>();
  return (organizationId, work) => {
    const queue = queues.get(organizationId) ?? bulkhead(atOnce, Number.MAX_SAFE_INTEGER);
    queues.set(organizationId, queue);
    return queue.execute(work);
  };
}
