import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** One address before several processes, as a load balancer has it: each connection goes to one that accepts it. */
export interface Balancer {
  readonly url: string;
  close(): Promise<void>;
}

/** `targets` are asked at each connection; the next one in turn comes first. */
export async function startBalancer(targets: () => readonly string[]): Promise<Balancer> {
  const open = new Set<Socket>();
  let turn = 0;
  const server = createServer((client) => {
    open.add(client);
    client.once('close', () => open.delete(client));
    client.on('error', () => undefined);
    const urls = targets();
    turn += 1;
    join(
      client,
      urls.map((_url, index) => new URL(urls[(turn + index) % urls.length] ?? '')),
    );
  });
  server.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of open) socket.destroy();
      }),
  };
}

function join(client: Socket, [first, ...others]: readonly URL[]): void {
  if (first === undefined || client.destroyed) return void client.destroy();
  const upstream = connect(Number(first.port), first.hostname);
  upstream.once('connect', () => {
    upstream.off('error', next);
    upstream.on('error', () => undefined);
    client.pipe(upstream).pipe(client);
    for (const [one, other] of [
      [client, upstream],
      [upstream, client],
    ] as const)
      one.once('close', () => other.destroy());
  });
  const next = (): void => join(client, others);
  upstream.once('error', next);
}
