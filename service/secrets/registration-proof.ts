import { createHash, timingSafeEqual } from 'node:crypto';
import { tokenPrefix } from '../../modules/contract.ts';

/** What a proof is bound to: Coder's ids, as Terraform sees them in the build that made the proof. */
export interface ProofSubject {
  readonly workspaceId: string;
  readonly ownerId: string;
  /** Of the current build's `coder_agent.main`, so that a proof dies with its build. */
  readonly agentId: string;
}

/**
 * What a workspace shows to register: `<kid>.<64 hex digits>`.
 *
 * `secret` is the whole value of the template variable, `ors_<kid>_<43 characters>`. Terraform computes the same:
 * `sha256("${secret}:${sha256("${secret}:${workspace_id}:${owner_id}:${agent_id}")}")`. Hashed twice, so that no
 * longer list of ids can be derived from a proof (length extension).
 */
export function deriveProof(secret: string, workspaceId: string, ownerId: string, agentId: string): string {
  const inner = sha256Hex(`${secret}:${workspaceId}:${ownerId}:${agentId}`);
  return `${kidOf(secret)}.${sha256Hex(`${secret}:${inner}`)}`;
}

const proofPattern = /^([0-9a-f]{12})\.[0-9a-f]{64}$/;

/** The kid a proof names; null when it has not the shape of a proof. */
export const kidOfProof = (proof: string): string | null => proofPattern.exec(proof)?.[1] ?? null;

export function kidOf(secret: string): string {
  const kid = secret.startsWith(tokenPrefix.templateSecret) ? secret.split('_')[1] : undefined;
  if (kid === undefined) throw new TypeError('Not a template secret: it begins with ors_<kid>_.');
  return kid;
}

/** In constant time for texts of one length; proofs all have the same. */
export function isSameText(one: string, other: string): boolean {
  const left = Buffer.from(one);
  const right = Buffer.from(other);
  return left.length === right.length && timingSafeEqual(left, right);
}

const sha256Hex = (text: string): string => createHash('sha256').update(text).digest('hex');
