import { createSecureContext } from 'node:tls';
import { z } from 'zod';
import { AgentFailure } from '../agent-failure.ts';

/** How to reach one Docker daemon. */
export interface DockerAccess {
  /** With scheme http or https; of a socket only the scheme counts. */
  readonly url: URL;
  readonly socketPath: string | null;
  /** PEM texts; null where the daemon is this machine's own. */
  readonly tls: { readonly ca: string; readonly cert: string; readonly key: string } | null;
}

/** What an admin of the service lets an organization's admin name as host. */
export interface HostBounds {
  /** The one socket that may be named; without it none may. */
  readonly socket: string | null;
  /** Whether a daemon on this machine may be spoken with in plain http. */
  readonly allowInsecureHttp: boolean;
}

const pem = z
  .string()
  .max(64 * 1024)
  .regex(/^\s*-----BEGIN /);
const hostConfig = z.strictObject({
  host: z.string().max(300),
  ca: pem.optional(),
  cert: pem.optional(),
  key: pem.optional(),
});

/** Reads JSON `{host, ca, cert, key}`. Throws `AgentFailure` without repeating any of it. */
export function readDockerAccess(text: string, bounds: HostBounds): DockerAccess {
  const result = hostConfig.safeParse(parsed(text));
  if (!result.success)
    throw unusable(result.error.issues.map(({ path, code }) => `${path.join('.') || '(all)'} (${code})`).join(', '));
  const { host, ca, cert, key } = result.data;
  if (host.startsWith('unix://')) return ofSocket(host.slice('unix://'.length), bounds);
  const url = urlOf(host);
  if (ca !== undefined && cert !== undefined && key !== undefined) {
    url.protocol = 'https:';
    return { url, socketPath: null, tls: usableTls({ ca, cert, key }) };
  }
  if ((ca ?? cert ?? key) !== undefined || !bounds.allowInsecureHttp || !isLoopback(url))
    throw unusable('it needs all of ca, cert and key, because whoever reaches a daemon owns its machine');
  return { url, socketPath: null, tls: null };
}

function ofSocket(path: string, { socket }: HostBounds): DockerAccess {
  if (socket === null || path !== socket)
    throw unusable('its host is a socket that the service may not use; its admin names one as OUTRIGGER_DOCKER_SOCKET');
  return { url: new URL('http://docker'), socketPath: path, tls: null };
}

function urlOf(host: string): URL {
  const match = /^(?:tcp|https):\/\/(?<place>[^/?#@\s]+)\/?$/.exec(host);
  // The URL begins as http: a special scheme cannot be made of one that is not.
  const text = `http://${match?.groups?.['place'] ?? ''}`;
  if (!match || !URL.canParse(text)) throw unusable('its host must be like tcp://docker.example.com:2376');
  const url = new URL(text);
  if (url.port === '') url.port = '2376';
  return url;
}

const isLoopback = ({ hostname }: URL): boolean =>
  hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname);

function usableTls(tls: NonNullable<DockerAccess['tls']>): NonNullable<DockerAccess['tls']> {
  try {
    createSecureContext(tls);
    return tls;
  } catch {
    throw unusable('its ca, cert and key are not a CA and a pair in PEM without a passphrase');
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw unusable('it is not JSON');
  }
}

const unusable = (why: string): AgentFailure =>
  new AgentFailure(
    'ContextError',
    `The DOCKER_HOST_CONFIG of this organization cannot be used: ${why}. Store {"host": "tcp://…:2376", "ca": …, "cert": …, "key": …} with the PEM texts.`,
  );
