import type { Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import { organizationPlace } from '../secrets/secret-place.ts';
import type { Secrets } from '../secrets/secrets.ts';
import { isExpired } from './agent-entry.ts';
import { entriesOf } from './agent-entry-store.ts';

export interface CredentialParts {
  readonly database: Database;
  readonly secrets: Pick<Secrets, 'open'>;
  readonly clock: Clock;
}

/**
 * Answers the value that an organization's entry of `agent` names as `env`, or null where there is none or it has
 * expired. For agents of the service alone: what it answers never leaves this process but to whom it is meant for.
 */
export const makeAgentCredential =
  (parts: CredentialParts, agent: string, env: string) =>
  async (organizationId: string): Promise<string | null> => {
    const entry = (await entriesOf(parts.database, organizationId)).find(({ name }) => name === agent);
    const credential = entry?.spec.credentials.find((one) => one.env === env);
    if (!credential || isExpired(credential, parts.clock.now())) return null;
    return parts.secrets.open([organizationPlace(organizationId)], credential.secretRef, { towards: 'agent' });
  };
