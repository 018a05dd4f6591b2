import { Agent, request as dial } from 'undici';
import type { Fuse } from '../gateway/upstream.ts';
import { ServiceError } from '../platform/errors.ts';
import { isInside, lookupOutside } from './addresses.ts';
import { forgeMisunderstood, forgeRefused, forgeUnreachable } from './faults.ts';
import { isLoopback, type Repository } from './repository.ts';

/** The two halves of git's smart HTTP. Source: gitprotocol-http(5) */
export type GitService = 'git-upload-pack' | 'git-receive-pack';

export interface ForgeRequest {
  readonly repository: Repository;
  readonly service: GitService;
  /** What the call sends; null asks what there is (`info/refs`). */
  readonly body: AsyncIterable<Buffer> | null;
  /** Only what the client said of its own protocol: version, encoding, length. */
  readonly headers: Readonly<Record<string, string>>;
  readonly credential: { readonly name: string; readonly username: string; readonly value: string };
  readonly fuse: Fuse;
}

export interface ForgeAnswer {
  readonly contentType: string;
  readonly body: AsyncIterable<Buffer>;
}

export interface Forge {
  /** The answer of a forge that said 200. Rejects with a `ServiceError` that holds nothing of what it said. */
  send(request: ForgeRequest): Promise<ForgeAnswer>;
  close(): Promise<void>;
}

const connectMs = 10_000;

/**
 * Speaks with the hosts that credentials are for: https only, no redirects, never to this machine itself.
 *
 * `allowLoopback` lets tests have a forge on 127.0.0.1, by plain http.
 */
export function makeForge(options: { readonly allowLoopback: boolean }): Forge {
  // Silence is measured by the call itself, over the head and the body alike.
  const agent = new Agent({
    headersTimeout: 0,
    bodyTimeout: 0,
    connect: { timeout: connectMs, ...(options.allowLoopback ? {} : { lookup: lookupOutside }) },
  });
  return {
    async send({ repository, service, body, headers, credential, fuse }) {
      const base = baseOf(repository, options.allowLoopback);
      const [path, kind] = body === null ? [`info/refs?service=${service}`, 'advertisement'] : [service, 'result'];
      const answer = await dial(`${base}/${repository.path}.git/${path}`, {
        dispatcher: agent,
        method: body === null ? 'GET' : 'POST',
        headers: {
          ...headers,
          accept: `application/x-${service}-${kind}`,
          authorization: `Basic ${Buffer.from(`${credential.username}:${credential.value}`).toString('base64')}`,
          ...(body === null ? {} : { 'content-type': `application/x-${service}-request` }),
        },
        // undici takes any async iterable, which its types do not say.
        body: body as never,
        signal: fuse.signal,
      }).catch((error: unknown) => {
        if (fuse.signal.aborted || error instanceof ServiceError) throw error;
        throw forgeUnreachable(repository.host, error);
      });
      const contentType = `application/x-${service}-${kind}`;
      if (answer.statusCode !== 200 || answer.headers['content-type'] !== contentType) {
        answer.body.destroy();
        // A body that nobody reads ends with an error that nobody else would hear.
        answer.body.on('error', () => undefined);
        throw answer.statusCode === 200
          ? forgeMisunderstood(repository.host)
          : forgeRefused(repository, credential.name, answer.statusCode);
      }
      return { contentType, body: answer.body as AsyncIterable<Buffer> };
    },
    close: () => agent.destroy(),
  };
}

function baseOf({ host }: Repository, allowLoopback: boolean): string {
  const { hostname } = new URL(`https://${host}`);
  if (isLoopback(hostname) && allowLoopback) return `http://${host}`;
  if (isLoopback(hostname) || isInside(hostname))
    throw forgeUnreachable(host, Object.assign(new Error(), { code: 'EINSIDE' }));
  return `https://${host}`;
}
