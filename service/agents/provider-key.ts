import { providerKeyName, type KeyOwner } from '../gateway/provider-keys.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import type { Secrets } from '../secrets/secrets.ts';
import { isExpired } from './agent-entry.ts';
import { givenCredentials, openGiven } from './given-credentials.ts';

export interface ProviderKeyParts {
  readonly database: Database;
  readonly secrets: Pick<Secrets, 'open'>;
  readonly upstreamUrl: string;
  readonly clock: Clock;
}

/**
 * Answers the key that was brought for the gateway's upstream to do this work with, or null.
 *
 * Order   the owner's own, then the organization's: its entry `opencode`, then the others by name. The first that is
 *         stored and has not expired.
 * Errors  `unavailable` for a stored value that cannot stand in a header: no other key is used in its place.
 */
export function makeProviderKey(parts: ProviderKeyParts): (work: KeyOwner) => Promise<string | null> {
  const wanted = providerKeyName(parts.upstreamUrl);
  return async (work) => {
    for (const given of await givenCredentials(parts.database, work)) {
      if (given.credential.env !== wanted || isExpired(given.credential, parts.clock.now())) continue;
      const value = await openGiven(parts.secrets, given, 'gateway', work);
      if (value !== null) return value;
    }
    return null;
  };
}
