import type { Request, Response } from 'express';
import { z } from 'zod';
import type { Actor } from '../../modules/contract.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import { providerKeyName } from '../gateway/provider-keys.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import { parse, requestId, type Route } from '../platform/http.ts';
import { actorOf, organizationOfMember, organizationQuery } from '../secrets/organization-admin.ts';
import { ownPlaces } from '../secrets/secret-place.ts';
import type { Secrets } from '../secrets/secrets.ts';
import { credentialList, destinationOf, isExpired, type Credential } from './agent-entry.ts';
import { gitHostOf } from './git-credential.ts';
import { ownCredentialsOf, saveOwnCredentials, type Person } from './own-credential-store.ts';

export interface OwnCredentialParts {
  readonly database: Database;
  readonly audit: Pick<AuditLog, 'append'>;
  readonly secrets: Pick<Secrets, 'list'>;
  readonly upstreamUrl: string;
  readonly clock: Clock;
}

const path = '/api/v2/agents/credentials';
const credentialsAnswer = z
  .strictObject({
    credentials: z.array(z.looseObject({ name: z.string(), env: z.string() })),
    status: z.array(
      z.strictObject({
        name: z.string(),
        env: z.string(),
        destination: z.enum(['gateway', 'broker']),
        host: z.string().nullable(),
        expires_at: z.string().nullable(),
        expired: z.boolean(),
        stored: z.boolean(),
        fits_upstream: z.boolean().nullable(),
      }),
    ),
  })
  .meta({ id: 'OwnCredentials' });
const body = z.strictObject({ credentials: credentialList });

/**
 * The caller's own credentials, by reference to the caller's own secrets: for the work of the caller's workspaces only,
 * and before those of the organization.
 */
export function ownCredentialRoutes(parts: OwnCredentialParts): Route[] {
  return [
    {
      method: 'get',
      path,
      guard: 'user',
      summary: 'Shows your own credentials by reference, never a value.',
      shape: { query: organizationQuery, answers: { 200: credentialsAnswer } },
      handler: async (request, response) => {
        response.json(await present(parts, personOf(request, response)));
      },
    },
    {
      method: 'put',
      path,
      guard: 'user',
      summary: 'Writes your own credentials by reference: model keys for the gateway, git tokens for the broker.',
      shape: { query: organizationQuery, body, answers: { 200: credentialsAnswer } },
      handler: async (request, response) => {
        const person = personOf(request, response);
        const { credentials } = parse(body, request.body ?? {}, 'The credentials');
        await parts.database.transaction(async (tx) => {
          await saveOwnCredentials(tx, person, credentials, parts.clock.now());
          await parts.audit.append(tx, {
            actor: actorOf(response),
            action: 'own_credentials.written',
            target: { type: 'user', id: person.ownerId },
            outcome: 'success',
            ...person,
            requestId: requestId(response),
            data: {
              credentials: credentials
                .map(({ env, secretRef }) => `${env}=${secretRef.name}/${secretRef.key}`)
                .join(' '),
            },
          });
        });
        response.json(await present(parts, person));
      },
    },
  ];
}

const personOf = (request: Request, response: Response): Person => ({
  organizationId: organizationOfMember(request, response),
  ownerId: (response.locals['actor'] as Actor).id,
});

async function present(parts: OwnCredentialParts, person: Person) {
  const credentials = await ownCredentialsOf(parts.database, person);
  const stored = (await Promise.all(ownPlaces(person).map((place) => parts.secrets.list(place)))).flat();
  const isStored = ({ secretRef }: Credential): boolean =>
    stored.some(({ name, keys }) => name === secretRef.name && keys.includes(secretRef.key));
  const upstreamTakes = providerKeyName(parts.upstreamUrl);
  return {
    credentials,
    status: credentials.map((credential) => ({
      name: credential.name,
      env: credential.env,
      destination: destinationOf(credential),
      host: gitHostOf(credential),
      expires_at: credential.expiresAt ?? null,
      expired: isExpired(credential, parts.clock.now()),
      /** Whether you have a value behind the reference that serves all your workspaces; one may have its own. */
      stored: isStored(credential),
      fits_upstream: destinationOf(credential) === 'gateway' ? credential.env === upstreamTakes : null,
    })),
  };
}
