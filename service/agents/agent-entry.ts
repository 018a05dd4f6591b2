import { z } from 'zod';
import { digestPattern } from '../../modules/contract.ts';
import { isProviderKey } from '../gateway/provider-keys.ts';
import { ServiceError } from '../platform/errors.ts';
import { parse } from '../platform/http.ts';
import { readYaml } from '../platform/yaml-body.ts';
import { secretKey, secretName } from '../secrets/secret-routes.ts';
import { gitFields } from './git-fields.ts';

/** As Kubernetes names things, so that manifests written for kubeopencode fit here. */
const label = z
  .string()
  .max(63)
  .regex(/^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/, 'must be lower-case letters, digits and hyphens, such as my-agent');

const pinnedImage = z
  .string()
  .max(500)
  .regex(
    new RegExp(`^[a-z0-9][a-z0-9._/:-]*${digestPattern}$`),
    'must be pinned by digest, such as registry.example.com/base:1@sha256:<64 hex digits>',
  );

const areDistinct = (words: readonly string[]): boolean => new Set(words).size === words.length;

const credential = z
  .strictObject({
    name: label,
    secretRef: z.strictObject({ name: secretName, key: secretKey }),
    env: z
      .string()
      .max(128)
      .regex(/^[A-Z][A-Z0-9_]*$/, 'must be capitals, digits and _, such as GITHUB_TOKEN'),
    /** What the credential was given the right to, as its issuer words it. */
    scope: z.array(z.string().min(1).max(200)).min(1).max(50).optional(),
    expiresAt: z.iso.datetime({ offset: true }).optional(),
    ...gitFields,
  })
  .refine(
    (one) => !isProviderKey(one.env) || Object.keys(gitFields).every((field) => !(field in one)),
    `a model provider's key has none of ${Object.keys(gitFields).join(', ')}`,
  );

export const credentialList = z
  .array(credential)
  .max(50)
  .refine((all) => areDistinct(all.map(({ name }) => name)), 'two have the same name')
  .refine((all) => areDistinct(all.map(({ env }) => env)), 'two have the same env');

/** An agent in the words of kubeopencode's `Agent`; what is not here is refused, because nothing would heed it. */
export const agentManifest = z.strictObject({
  apiVersion: z.literal('kubeopencode.io/v1alpha1'),
  kind: z.literal('Agent'),
  metadata: z.strictObject({ name: label }),
  spec: z.strictObject({
    credentials: credentialList.default([]),
    /** Brings OpenCode. */
    agentImage: pinnedImage.optional(),
    /** Where the work happens. */
    executorImage: pinnedImage.optional(),
    /** Where a person attaches. */
    attachImage: pinnedImage.optional(),
  }),
});

export type AgentSpec = z.output<typeof agentManifest>['spec'];
export type Credential = AgentSpec['credentials'][number];

export interface AgentEntry {
  readonly organizationId: string;
  readonly name: string;
  readonly spec: AgentSpec;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly updatedBy: string;
}

export const manifestOf = (name: string, spec: AgentSpec) => ({
  apiVersion: 'kubeopencode.io/v1alpha1' as const,
  kind: 'Agent' as const,
  metadata: { name },
  spec,
});

/** Who uses the value: the gateway towards model providers, the broker towards everything else. */
export const destinationOf = ({ env }: Credential): 'gateway' | 'broker' => (isProviderKey(env) ? 'gateway' : 'broker');

export const isExpired = ({ expiresAt }: Credential, now: Date): boolean =>
  expiresAt !== undefined && new Date(expiresAt) <= now;

export const agentName = (text: string): string => parse(z.object({ name: label }), { name: text }, 'The path').name;

/** Reads the body of a PUT: YAML, of which JSON is a part. Throws `invalid`, without repeating the text. */
export function readManifest(text: string, name: string): AgentSpec {
  const { metadata, spec } = parse(agentManifest, readYaml(text), 'The agent');
  if (metadata.name === name) return spec;
  throw new ServiceError(
    'invalid',
    'agent_name_differs',
    `The body describes agent ${metadata.name}, the path names ${name}. Make them the same.`,
  );
}
