import { parse } from 'yaml';
import { z } from 'zod';
import { tooMuchYaml } from '../../platform/yaml-bounds.ts';
import { AgentFailure } from '../agent-failure.ts';

/** How to reach one cluster as one user. */
export interface ClusterAccess {
  readonly server: URL;
  readonly ca: Buffer;
  readonly namespace: string;
  readonly token: string | null;
  readonly certificate: { readonly cert: Buffer; readonly key: Buffer } | null;
}

const base64 = z.base64().transform((text) => Buffer.from(text, 'base64'));
const name = z.string();

/**
 * What is read of a kubeconfig. Strict where it counts: a file of the service, a program to start, a proxy or a
 * connection that is not verified cannot be asked for.
 */
const kubeconfig = z.looseObject({
  'current-context': name,
  contexts: z.array(
    z.looseObject({ name, context: z.looseObject({ cluster: name, user: name, namespace: name.optional() }) }),
  ),
  clusters: z.array(
    z.looseObject({
      name,
      cluster: z.strictObject({
        server: z.url({ protocol: /^https$/ }),
        'certificate-authority-data': base64,
        'insecure-skip-tls-verify': z.literal(false).optional(),
      }),
    }),
  ),
  users: z.array(
    z.looseObject({
      name,
      user: z.strictObject({
        // It becomes a header: a line break of the file it came from would break that.
        token: z
          .string()
          .trim()
          .regex(/^[\x21-\x7e]+$/)
          .optional(),
        'client-certificate-data': base64.optional(),
        'client-key-data': base64.optional(),
      }),
    }),
  ),
});

/** Reads the current context of a kubeconfig. Throws `AgentFailure` without repeating any of it. */
export function readKubeconfig(text: string): ClusterAccess {
  const result = kubeconfig.safeParse(parseYaml(text));
  if (!result.success)
    throw unusable(result.error.issues.map(({ path, code }) => `${path.join('.') || '(all)'} (${code})`).join(', '));
  const { 'current-context': current, contexts, clusters, users } = result.data;
  const context = contexts.find((one) => one.name === current)?.context;
  const cluster = clusters.find((one) => one.name === context?.cluster)?.cluster;
  const user = users.find((one) => one.name === context?.user)?.user;
  if (!context || !cluster || !user) throw unusable('its current context names a cluster or user that is not there');
  const { token = null, 'client-certificate-data': cert, 'client-key-data': key } = user;
  if (token === null && !(cert && key)) throw unusable('its user has neither a token nor a client certificate');
  return {
    server: new URL(cluster.server),
    ca: cluster['certificate-authority-data'],
    namespace: context.namespace ?? 'default',
    token,
    certificate: cert && key ? { cert, key } : null,
  };
}

function parseYaml(text: string): unknown {
  const excess = tooMuchYaml(text);
  if (excess !== null) throw unusable(`it ${excess}`);
  try {
    return parse(text, { maxAliasCount: 0 });
  } catch {
    throw unusable('it is not YAML');
  }
}

const unusable = (why: string): AgentFailure =>
  new AgentFailure(
    'ContextError',
    `The kubeconfig of this organization cannot be used: ${why}. Store what 'kubectl config view --raw --flatten --minify' says: a CA and a token or certificate as data.`,
  );
