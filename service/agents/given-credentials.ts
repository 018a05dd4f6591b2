import type { KeyOwner } from '../gateway/provider-keys.ts';
import type { Database } from '../platform/database.ts';
import { organizationPlace, ownPlaces, type SecretPlace } from '../secrets/secret-place.ts';
import type { SecretUse, Secrets } from '../secrets/secrets.ts';
import type { Credential } from './agent-entry.ts';
import { entriesOf } from './agent-entry-store.ts';
import { ownCredentialsOf } from './own-credential-store.ts';
import { asHeaderValue, inOrder } from './secret-value.ts';

/** A credential that work may be done with, and where its value is kept. */
export interface GivenCredential {
  /** The entry it stands in; null for one that the owner of the work gave. */
  readonly agent: string | null;
  readonly credential: Credential;
  readonly places: readonly SecretPlace[];
}

/** What work may be done with: its owner's own credentials, then those of the organization's entries in their order. */
export async function givenCredentials(
  database: Pick<Database, 'as'>,
  { organizationId, ownerId, workspaceId }: KeyOwner,
): Promise<readonly GivenCredential[]> {
  const own = ownerId === undefined ? [] : await ownCredentialsOf(database, { organizationId, ownerId });
  const ownerPlaces = ownPlaces({ organizationId, ownerId: ownerId ?? '', ...(workspaceId ? { workspaceId } : {}) });
  const places = [organizationPlace(organizationId)];
  return [
    ...own.map((credential) => ({ agent: null, credential, places: ownerPlaces })),
    ...inOrder(await entriesOf(database, organizationId)).flatMap(({ name, spec }) =>
      spec.credentials.map((credential) => ({ agent: name, credential, places })),
    ),
  ];
}

/** The value behind a credential as it can stand in a header; null where none is stored. */
export async function openGiven(
  secrets: Pick<Secrets, 'open'>,
  { agent, credential, places }: GivenCredential,
  towards: SecretUse['towards'],
  work: KeyOwner,
): Promise<string | null> {
  const value = await secrets.open(places, credential.secretRef, useOf(towards, work));
  return value === null ? null : asHeaderValue(value, agent, credential);
}

function useOf(towards: SecretUse['towards'], { taskId, attempt, workspaceId, ownerId }: KeyOwner): SecretUse {
  const isTask = taskId !== undefined && attempt !== undefined && workspaceId !== undefined && ownerId !== undefined;
  return isTask ? { towards, task: { taskId, attempt, workspaceId, ownerId } } : { towards };
}
