import { request as httpsRequest } from 'node:https';
import { AgentFailure } from '../agent-failure.ts';
import type { ClusterAccess } from './kubeconfig.ts';

/** The API of one cluster, as one user. */
export interface Cluster {
  /** Answers status and body of any answer but a failure of the cluster itself. Throws `AgentFailure`. */
  call(call: ClusterCall, signal: AbortSignal): Promise<ClusterAnswer>;
}

export interface ClusterCall {
  readonly method: 'GET' | 'PATCH' | 'DELETE';
  /** With its query. */
  readonly path: string;
  readonly body?: unknown;
}

export interface ClusterAnswer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** With these words the API server answers 500 to a patch that does not fit the schema: the manifest is at fault. */
const wrongPatch = 'failed to create typed patch object';

const applyPatch = 'application/apply-patch+yaml';
const mostBytes = 4 * 1024 * 1024;
const answerMs = 30_000;

/** Talks HTTPS with the cluster's own CA; a proxy of the environment is not used and no redirect is followed. */
export function makeCluster(access: ClusterAccess): Cluster {
  return {
    async call({ method, path, body }, signal) {
      const { status, text } = await send(access, { method, path, body }, signal);
      if ((status === 429 || status >= 500) && !text.includes(wrongPatch))
        throw new AgentFailure('UpstreamError', `The cluster answered ${status}.`, true);
      return { status, body: parseJson(text) };
    },
  };
}

function send(
  { server, ca, token, certificate }: ClusterAccess,
  { method, path, body }: ClusterCall,
  signal: AbortSignal,
): Promise<{ status: number; text: string }> {
  const base = server.pathname.replace(/\/+$/, '');
  return new Promise((resolve, reject) => {
    const fail = (error: NodeJS.ErrnoException): void =>
      reject(new AgentFailure('UpstreamError', `The cluster cannot be reached (${error.code ?? 'cut'}).`, true));
    const request = httpsRequest(
      {
        hostname: server.hostname.replace(/^\[|\]$/g, ''),
        port: server.port || 443,
        method,
        path: base + path,
        ca,
        ...(certificate ?? {}),
        signal: AbortSignal.any([signal, AbortSignal.timeout(answerMs)]),
        agent: false,
        headers: {
          Accept: 'application/json',
          ...(token === null ? {} : { Authorization: `Bearer ${token}` }),
          ...(body === undefined ? {} : { 'Content-Type': method === 'PATCH' ? applyPatch : 'application/json' }),
        },
      },
      (response) => {
        const pieces: Buffer[] = [];
        let bytes = 0;
        response.on('data', (piece: Buffer) => {
          bytes += piece.length;
          if (bytes > mostBytes) request.destroy(new Error('too large'));
          else pieces.push(piece);
        });
        response.once('error', fail);
        response.once('end', () =>
          resolve({ status: response.statusCode ?? 0, text: Buffer.concat(pieces).toString('utf8') }),
        );
      },
    );
    request.once('error', fail);
    // JSON is YAML.
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

function parseJson(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // Told below, like any other answer that is no object.
  }
  throw new AgentFailure('UpstreamError', 'The cluster did not answer with a JSON object.', true);
}
