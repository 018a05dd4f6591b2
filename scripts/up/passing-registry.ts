import { createHash, randomUUID, type Hash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * A registry on loopback that takes a push and keeps nothing of it.
 *
 * Docker gives an image that was built here no digest before a registry has taken it, and templates name images by
 * digest only. What Docker then remembers is enough to start containers from the image without any registry.
 *
 * Source  github.com/opencontainers/distribution-spec, the routes of a push; docs.docker.com, insecure registries: a
 *         daemon speaks plain HTTP to 127.0.0.0/8 alone
 */
export async function startPassingRegistry(): Promise<{ readonly host: string; close(): Promise<void> }> {
  const state: Taken = { uploads: new Map(), blobs: new Map() };
  const server = createServer((request, response) => {
    answer(state, request, response).catch(() => response.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

interface Taken {
  readonly uploads: Map<string, { readonly hash: Hash; bytes: number }>;
  /** Size by digest. */
  readonly blobs: Map<string, number>;
}

async function answer(state: Taken, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://registry');
  const end = (status: number, headers: Readonly<Record<string, string | number>> = {}): void =>
    void response.writeHead(status, { 'Docker-Distribution-Api-Version': 'registry/2.0', ...headers }).end();
  const [, name = '', kind, last = ''] = /^\/v2\/(.+)\/(blobs\/uploads|blobs|manifests)\/([^/]*)$/.exec(pathname) ?? [];
  const upload = state.uploads.get(last);
  if (pathname === '/v2/') return end(200);
  if (kind === 'blobs' && request.method === 'HEAD') {
    const size = state.blobs.get(last);
    return size === undefined ? end(404) : end(200, { 'Content-Length': size, 'Docker-Content-Digest': last });
  }
  if (kind === 'blobs/uploads' && request.method === 'POST') {
    const id = randomUUID();
    state.uploads.set(id, { hash: createHash('sha256'), bytes: 0 });
    return end(202, { Location: `/v2/${name}/blobs/uploads/${id}`, Range: '0-0', 'Docker-Upload-UUID': id });
  }
  if (kind === 'blobs/uploads' && upload !== undefined) {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      upload.hash.update(chunk);
      upload.bytes += chunk.length;
    }
    if (request.method === 'PATCH')
      return end(202, { Location: pathname, Range: `0-${Math.max(0, upload.bytes - 1)}`, 'Docker-Upload-UUID': last });
    const digest = `sha256:${upload.hash.digest('hex')}`;
    state.uploads.delete(last);
    if (digest !== searchParams.get('digest')) return end(400);
    state.blobs.set(digest, upload.bytes);
    return end(201, { Location: `/v2/${name}/blobs/${digest}`, 'Docker-Content-Digest': digest });
  }
  if (kind === 'manifests' && request.method === 'PUT') {
    const hash = createHash('sha256');
    for await (const chunk of request as AsyncIterable<Buffer>) hash.update(chunk);
    const digest = `sha256:${hash.digest('hex')}`;
    return end(201, { Location: `/v2/${name}/manifests/${digest}`, 'Docker-Content-Digest': digest });
  }
  return end(404);
}
