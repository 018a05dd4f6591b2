import { providerKeyName } from '../gateway/provider-keys.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import type { AgentSecrets } from '../secrets/agent-secrets.ts';
import { isExpired, type AgentEntry } from './agent-entry.ts';
import { entriesOf } from './agent-entry-store.ts';
import { asHeaderValue, inOrder } from './secret-value.ts';

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
      if (value !== null) return asHeaderValue(value, entry, credential);
    }
    return null;
  };
}

const credentialsOf = (entries: readonly AgentEntry[]) =>
  entries.flatMap((entry) => entry.spec.credentials.map((credential) => ({ entry, credential })));
