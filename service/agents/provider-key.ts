import { providerKeyName } from '../gateway/provider-keys.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import { ServiceError } from '../platform/errors.ts';
import type { AgentSecrets } from '../secrets/agent-secrets.ts';
import { isExpired, type AgentEntry, type Credential } from './agent-entry.ts';
import { entriesOf } from './agent-entry-store.ts';

/** The agent whose tasks call models; its own entry goes before any other. */
const caller = 'opencode';

export interface ProviderKeyParts {
  readonly database: Database;
  readonly secrets: Pick<AgentSecrets, 'open'>;
  readonly upstreamUrl: string;
  readonly clock: Clock;
}

/**
 * Answers the key that an organization's agents brought for the gateway's upstream, or null.
 *
 * Order   the entry `opencode`, then the others by name; the first that is stored and has not expired.
 * Errors  `unavailable` for a stored value that cannot stand in a header: no other key is used in its place.
 */
export function makeProviderKey(parts: ProviderKeyParts): (organizationId: string) => Promise<string | null> {
  const wanted = providerKeyName(parts.upstreamUrl);
  return async (organizationId) => {
    const entries = inOrder(await entriesOf(parts.database, organizationId));
    for (const { entry, credential } of credentialsOf(entries)) {
      if (credential.env !== wanted || isExpired(credential, parts.clock.now())) continue;
      const value = await parts.secrets.open(organizationId, credential.secretRef);
      if (value !== null) return asHeader(value, entry, credential);
    }
    return null;
  };
}

const inOrder = (entries: readonly AgentEntry[]): readonly AgentEntry[] =>
  entries.toSorted((one, other) => Number(other.name === caller) - Number(one.name === caller));

const credentialsOf = (entries: readonly AgentEntry[]) =>
  entries.flatMap((entry) => entry.spec.credentials.map((credential) => ({ entry, credential })));

/** Whoever pastes a key pastes a line end with it; anything else unprintable would be quoted by the HTTP client. */
function asHeader(value: string, entry: AgentEntry, credential: Credential): string {
  const key = value.trim();
  if (/^[\x21-\x7e]+$/.test(key)) return key;
  throw new ServiceError(
    'unavailable',
    'provider_key_unusable',
    `The value behind credential ${credential.name} of agent ${entry.name} has characters that no key has. An organization admin must write the secret ${credential.secretRef.name} again.`,
  );
}
