import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { makeCluster } from '../../service/agents/kubernetes/cluster.ts';
import { AgentFailure } from '../../service/agents/agent-failure.ts';

let directory: string;
let server: Server;
let ours: Pair;
let other: Pair;
const seen: { method?: string; path?: string; type?: string; token?: string; body: string }[] = [];

interface Pair {
  readonly key: Buffer;
  readonly cert: Buffer;
}

/** A certificate of its own making, for this machine. */
function makePair(name: string): Pair {
  const [key, cert] = [join(directory, `${name}.key`), join(directory, `${name}.crt`)];
  const words = `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=${name}`.split(' ');
  execFileSync('openssl', [...words, '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', cert], {
    stdio: 'pipe',
  });
  return { key: readFileSync(key), cert: readFileSync(cert) };
}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'outrigger-cluster-'));
  ours = makePair('ours');
  other = makePair('other');
  server = createServer(ours, (request, response) => {
    const pieces: Buffer[] = [];
    request.on('data', (piece: Buffer) => pieces.push(piece));
    request.on('end', () => {
      const { method, url = '', headers } = request;
      const body = Buffer.concat(pieces).toString();
      seen.push({
        ...(method ? { method } : {}),
        path: url,
        ...(headers['content-type'] ? { type: headers['content-type'] } : {}),
        ...(headers.authorization ? { token: headers.authorization } : {}),
        body,
      });
      if (url.endsWith('/hang')) return;
      response.statusCode = Number(/status=(\d+)/.exec(url)?.[1] ?? 200);
      const message = 'failed to create typed patch object (team/x): .data.by: expected string';
      if (url.endsWith('&typed')) response.end(JSON.stringify({ message }));
      else response.end(url.endsWith('/html') ? '<html>' : '{"kind":"Status"}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  rmSync(directory, { recursive: true, force: true });
});

const clusterBy = (ca: Buffer) =>
  makeCluster({
    server: new URL(`https://127.0.0.1:${(server.address() as AddressInfo).port}/prefix/`),
    ca,
    namespace: 'team',
    token: 'canary-token',
    certificate: null,
  });
const never = new AbortController().signal;
const failure = (work: Promise<unknown>): Promise<AgentFailure> =>
  work.then(
    () => Promise.reject(new Error('it did not fail')),
    (error: unknown) => (error instanceof AgentFailure ? error : Promise.reject(error as Error)),
  );

describe('the connection to a cluster', () => {
  it('is made under the CA of the kubeconfig, with its token, and sends objects as apply patches', async () => {
    const answer = await clusterBy(ours.cert).call(
      { method: 'PATCH', path: '/api/v1/x?dryRun=All', body: { a: 1 } },
      never,
    );

    expect(answer).toEqual({ status: 200, body: { kind: 'Status' } });
    expect(seen.at(-1)).toEqual({
      method: 'PATCH',
      path: '/prefix/api/v1/x?dryRun=All',
      type: 'application/apply-patch+yaml',
      token: 'Bearer canary-token',
      body: '{"a":1}',
    });
  });

  it('is refused where another CA signed, before anything is sent', async () => {
    const before = seen.length;
    const refused = await failure(clusterBy(other.cert).call({ method: 'GET', path: '/api/v1' }, never));

    expect(refused.message).toMatch(/^The cluster cannot be reached \((DEPTH_ZERO_SELF_SIGNED|UNABLE_TO|SELF_SIGNED)/);
    expect(seen).toHaveLength(before);
  });

  it.each([
    ['a cluster that is overloaded', '/api?status=503', /answered 503/],
    ['a cluster that asks for patience', '/api?status=429', /answered 429/],
    ['an answer that is no JSON', '/html', /JSON object/],
  ])('calls %s worth another try, without naming a secret', async (_title, path, words) => {
    const broken = await failure(clusterBy(ours.cert).call({ method: 'GET', path }, never));

    expect(broken).toMatchObject({ reason: 'UpstreamError', retryable: true });
    expect(broken.message).toMatch(words);
    expect(broken.message).not.toContain('canary');
  });

  it('leaves it to the caller what a refusal means, also one that the server takes for its own fault', async () => {
    const call = { method: 'PATCH', path: '/api?status=500&typed', body: {} } as const;
    expect((await clusterBy(ours.cert).call(call, never)).status).toBe(500);
    expect((await clusterBy(ours.cert).call({ method: 'GET', path: '/api?status=403' }, never)).status).toBe(403);
  });

  it('ends when the caller says so', async () => {
    const end = new AbortController();
    const call = failure(clusterBy(ours.cert).call({ method: 'GET', path: '/hang' }, end.signal));
    end.abort();

    expect((await call).reason).toBe('UpstreamError');
  });
});
