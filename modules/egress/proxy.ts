import { createServer, type AddressInfo, type Socket } from 'node:net';
import { mostHelloBytes, readHello } from './client-hello.ts';
import { passPlain } from './pass-plain.ts';
import { makeInbox, type Inbox } from './inbox.ts';
import { plainName, type Authority } from './host-name.ts';
import { reach, type ReachParts } from './reach.ts';
import { Refusal, refusalAnswer } from './refusal.ts';
import { connectAuthority, endOfHead, HeadFault, mostHeadBytes, parseHead, plainRequest } from './request-head.ts';

export interface ProxyParts extends ReachParts {
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  /** Called for each refusal; must not throw. */
  readonly onRefused: (refusal: Refusal) => void;
}

export interface EgressProxy {
  readonly port: number;
  close(): Promise<void>;
}

/** More than any build opens at once; each costs two sockets. */
const mostConnections = 512;
const headMs = 10_000;
const idleMs = 15 * 60_000;

/**
 * A forward proxy that passes on what a list of names allows, and nothing else.
 *
 * One connection is one exchange: a plain request is read strictly, written anew and is the last one of its connection;
 * a tunnel must begin with a TLS hello for the name that CONNECT named, or with such a plain request. Redirects are the
 * client's to follow, through here again. What is said inside TLS nobody here can read: a host that serves several
 * names under one certificate can be asked for any of them.
 */
export async function startEgressProxy(parts: ProxyParts): Promise<EgressProxy> {
  const open = new Set<Socket>();
  const server = createServer({ noDelay: true, allowHalfOpen: true }, (client) => {
    if (open.size >= mostConnections) return void client.destroy();
    open.add(client);
    client.once('close', () => open.delete(client));
    client.on('error', () => client.destroy());
    client.setTimeout(idleMs, () => client.destroy());
    serve(parts, client).catch((fault: unknown) => {
      if (!(fault instanceof Refusal)) return void client.destroy();
      parts.onRefused(fault);
      client.end(refusalAnswer(fault), () => client.destroySoon());
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(parts.port, parts.host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const one of open) one.destroy();
      }),
  };
}

async function serve(parts: ProxyParts, client: Socket): Promise<void> {
  const inbox = makeInbox(client);
  const request = await readRequest(inbox);
  if (request.method !== 'CONNECT') {
    const plain = refusing(() => plainRequest(request, null));
    return passPlain(client, inbox, await reach(parts, plain.authority), plain);
  }
  const authority = refusing(() => connectAuthority(request));
  const server = await reach(parts, authority);
  client.once('close', () => server.destroy());
  client.write('HTTP/1.1 200 Connection Established\r\n\r\n');
  try {
    await tunnel(client, inbox, server, authority);
  } catch (fault) {
    server.destroy();
    // The client has its 200 and speaks TLS, so an answer would be noise to it.
    if (!(fault instanceof Refusal)) throw fault;
    parts.onRefused(fault);
    client.destroy();
  }
}

/** A first byte of 22 is TLS; a letter begins a request; nothing else is let through. */
async function tunnel(client: Socket, inbox: Inbox, server: Socket, authority: Authority): Promise<void> {
  const first = await inbox.until((seen) => seen[0] ?? null, mostHelloBytes, headMs);
  if (first !== 22) {
    const request = await readRequest(inbox, authority);
    const plain = refusing(() => plainRequest(request, authority), authority);
    return passPlain(client, inbox, server, plain);
  }
  const hello = await inbox.until(
    (seen) => {
      const read = readHello(seen);
      return read.kind === 'incomplete' ? null : read;
    },
    mostHelloBytes,
    headMs,
  );
  if (hello.kind === 'bad') throw new Refusal(hello.why, authority);
  if (hello.kind !== 'name' || plainName(hello.name) !== authority.host) throw new Refusal('host_mismatch', authority);
  inbox.flow((piece) => server.write(piece));
  join(client, server);
}

async function readRequest(inbox: Inbox, within: Authority = nowhere) {
  const end = await inbox.until(endOfHead, mostHeadBytes, headMs).catch((fault: Error) => {
    throw fault.message === 'It is too long.' ? new Refusal('malformed', within) : fault;
  });
  const head = inbox.take(end);
  return refusing(() => parseHead(head), within);
}

const nowhere: Authority = { host: '-', port: 0 };

/** What the client asked for goes into the refusal, so that it can be shown. */
function refusing<Made>(make: () => Made, within: Authority = nowhere): Made {
  try {
    return make();
  } catch (fault) {
    if (!(fault instanceof HeadFault)) throw fault;
    throw new Refusal(fault.why, fault.asked === '' ? within : { host: shownText(fault.asked), port: 0 });
  }
}

/** What was asked for may hold any byte; the service takes printable ones, and refuses a whole call for another. */
const shownText = (asked: string): string => asked.slice(0, 253).replace(/[^\x21-\x7e]/g, '?');

/** Lets two sockets end together. The bytes towards the server flow through the client's inbox. */
function join(client: Socket, server: Socket): void {
  server.on('drain', () => client.resume());
  client.on('end', () => server.end());
  server.setTimeout(idleMs, () => server.destroy());
  server.on('close', () => client.destroySoon());
  server.on('error', () => client.destroy());
  server.pipe(client);
}
