import { credentialNeeded, serviceAgents } from '../agents/actions.ts';
import { isExpired, type Credential } from '../agents/agent-entry.ts';
import { entriesOf } from '../agents/agent-entry-store.ts';
import { ownCredentialsOf } from '../agents/own-credential-store.ts';
import { inOrder } from '../agents/secret-value.ts';
import type { Grants } from '../broker/grant.ts';
import { providerKeyName } from '../gateway/provider-keys.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import { distinctSecrets, gitSecret, type TouchedSecret } from './plan.ts';
import type { NewStep } from './workflow-store.ts';

export interface SecretParts {
  readonly database: Pick<Database, 'as'>;
  readonly clock: Clock;
  readonly upstreamUrl: string;
  /** Whether the service has a model key of its own. */
  readonly hasModelKey: boolean;
  readonly gitGrantsOf: Grants['list'];
}

/** Names of the secrets that these steps of one organization make the service open; no value is read. */
export async function secretsOf(
  parts: SecretParts,
  steps: readonly NewStep[],
  requestId: string,
): Promise<readonly TouchedSecret[]> {
  const [first] = steps;
  if (first === undefined) return [];
  const { organizationId, ownerId } = first.workspace;
  const entries = inOrder(await entriesOf(parts.database, organizationId)).map(({ name, spec }) => ({
    name,
    credentials: spec.credentials.filter((credential) => !isExpired(credential, parts.clock.now())),
  }));
  const named = (use: 'agent' | 'model', takes: (entry: string, credential: Credential) => boolean): TouchedSecret[] =>
    entries.flatMap(({ name, credentials }) =>
      credentials
        .filter((credential) => takes(name, credential))
        .map((credential) => ({ use, agent: name, credential: credential.name, env: credential.env, host: null })),
    );
  const here = new Set(steps.map(({ work }) => work.agent).filter((agent) => serviceAgents.includes(agent)));
  const inWorkspaces = steps.filter(({ work }) => !serviceAgents.includes(work.agent));
  const ofAgents = named('agent', (entry, { env }) => here.has(entry) && env === credentialNeeded[entry]);
  if (inWorkspaces.length === 0) return ofAgents;
  const keyName = providerKeyName(parts.upstreamUrl);
  const own = (await ownCredentialsOf(parts.database, { organizationId, ownerId }))
    .filter((credential) => credential.env === keyName && !isExpired(credential, parts.clock.now()))
    .map(({ name, env }) => ({ use: 'model', agent: null, credential: name, env, host: null }) as const);
  const [brought] = [...own, ...named('model', (_entry, { env }) => env === keyName)];
  const ofService = { use: 'model', agent: null, credential: null, env: keyName, host: null } as const;
  const model = brought ? [brought] : parts.hasModelKey ? [ofService] : [];
  const git: TouchedSecret[] = [];
  for (const workspaceId of new Set(inWorkspaces.map(({ workspace }) => workspace.id)))
    git.push(...(await parts.gitGrantsOf({ workspaceId, organizationId, ownerId }, requestId)).map(gitSecret));
  return distinctSecrets([...ofAgents, ...model, ...git]);
}
