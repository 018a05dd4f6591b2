import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * A git host that does nothing but count: who pushes says the key of the push, and each key should come once.
 * It is the world outside, which no database can roll back.
 */
export interface CountingForge {
  readonly url: string;
  /** How often each key came. */
  readonly counts: ReadonlyMap<string, number>;
  close(): Promise<void>;
}

export async function startCountingForge(): Promise<CountingForge> {
  const counts = new Map<string, number>();
  const server = createServer((request, response) => {
    const key = decodeURIComponent((request.url ?? '').slice(1));
    counts.set(key, (counts.get(key) ?? 0) + 1);
    request.resume();
    response.writeHead(204).end();
  });
  server.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    counts,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
