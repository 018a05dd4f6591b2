import { interpolation } from '../hcl/expressions.ts';

export interface ProofIds {
  /** Terraform expressions, without `${}`. */
  readonly workspaceId: string;
  readonly ownerId: string;
  readonly workspaceAgentId: string;
}

/**
 * The sidecar's proof of which build it belongs to: `<kid>.sha256(secret:sha256(secret:workspace:owner:agent))`.
 *
 * The service derives the same from the sealed secret. The ids of the agent change with each build, so a proof dies
 * with its build; the second hash keeps a proof from being extended.
 */
export function registrationProof(ids: ProofIds): string {
  return proof(ids, '');
}

/** The same for the proxy, which is told other things: neither proof works in place of the other. */
export function egressProof(ids: ProofIds): string {
  return proof(ids, 'egress:');
}

function proof(ids: ProofIds, purpose: string): string {
  const secret = 'var.outrigger_secret';
  const inner = `sha256("\${${secret}}:\${${ids.workspaceId}}:\${${ids.ownerId}}:${purpose}\${${ids.workspaceAgentId}}")`;
  return `${interpolation(`split("_", ${secret})[1]`)}.${interpolation(`sha256("\${${secret}}:\${${inner}}")`)}`;
}

/** The key from which each attempt's harness password derives; worker and sidecar get the same. */
export function harnessKey(agentToken: string): string {
  return interpolation(`sha256("harness:\${${agentToken}}")`);
}
