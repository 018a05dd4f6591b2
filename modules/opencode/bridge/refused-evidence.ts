import type { Evidence } from '../../contract.ts';

/** Stands in for a report that the service does not understand, so that the attempt ends all the same. */
export const refusedEvidence = (evidence: Evidence | null, why: string): Evidence => ({
  session_id: evidence?.session_id ?? null,
  last_message: null,
  tool_exits: [],
  rejected_asks: evidence?.rejected_asks ?? 0,
  diff: { files: 0, additions: 0, deletions: 0 },
  changed_files: [],
  branch: evidence?.branch ?? null,
  commit: evidence?.commit ?? null,
  verify: null,
  verify_rejected: false,
  failure: { reason: 'AgentError', message: `The service refused the report: ${why}`.slice(0, 2_000), retryable: true },
  stop: evidence?.stop ?? null,
});
