import { ServiceError } from '../platform/errors.ts';
import type { AgentEntry, Credential } from './agent-entry.ts';

/**
 * A stored value as it can stand in a header.
 *
 * Whoever pastes a key pastes a line end with it; anything else unprintable would be quoted by the HTTP client.
 * Errors  `unavailable`, without the value: no other one is used in its place. `agent` is null for the owner's own.
 */
export function asHeaderValue(value: string, agent: string | null, credential: Credential): string {
  const key = value.trim();
  if (/^[\x21-\x7e]+$/.test(key)) return key;
  throw new ServiceError(
    'unavailable',
    'provider_key_unusable',
    agent === null
      ? `The value behind your credential ${credential.name} has characters that no key has. Write your secret ${credential.secretRef.name} again.`
      : `The value behind credential ${credential.name} of agent ${agent} has characters that no key has. An organization admin must write the secret ${credential.secretRef.name} again.`,
  );
}

/** The agent whose tasks run in workspaces; its own entry goes before any other. */
const first = 'opencode';

/** Entries in the order in which their credentials are tried: `opencode`, then the others as they stand. */
export const inOrder = (entries: readonly AgentEntry[]): readonly AgentEntry[] =>
  entries.toSorted((one, other) => Number(other.name === first) - Number(one.name === first));
