import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { allowedAnswer, at, forbiddenTcp, forbiddenUdp, names, ports, reached, rebinding } from './addresses.ts';

/**
 * Everything outside of the workspace, in one process: what may be reached, what may not, and the name server.
 *
 * Each place writes down what reached it, a line of JSON each, so that a way out counts even if nothing came back.
 */
const [, , folder = '.', role = 'world'] = process.argv;
const tls = { key: readFileSync(`${folder}/key.pem`), cert: readFileSync(`${folder}/cert.pem`) };

const note = (place: string, seen: Buffer | string): void =>
  void process.stdout.write(`${JSON.stringify({ place, seen: seen.toString('latin1') })}\n`);

function answering(place: string, text: string) {
  return (socket: Socket): void => {
    socket.on('error', () => undefined);
    note(place, 'connected');
    socket.on('data', (piece: Buffer) => {
      note(place, piece);
      const head = piece.toString('latin1');
      if (/^upgrade: websocket/im.test(head)) {
        socket.write('HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n');
        return void socket.write(text);
      }
      const location = /^GET \/to\/(\S+) /.exec(head)?.[1];
      const status = location === undefined ? '200 OK' : `302 Found\r\nlocation: ${decodeURIComponent(location)}`;
      socket.write(`HTTP/1.1 ${status}\r\ncontent-length: ${String(text.length)}\r\n\r\n${text}`);
    });
  };
}

const listenTcp = (address: string, port: number, place: string, text: string): void =>
  void createServer(answering(place, text)).listen(port, address);
const listenTls = (address: string, port: number, place: string, text: string): void =>
  void createTlsServer(tls, answering(place, text)).listen(port, address);

function forbidden(address: string): void {
  const place = `forbidden ${address}`;
  for (const port of forbiddenTcp) {
    const listen = port === ports.tls ? listenTls : listenTcp;
    if (address !== at.evil6 || port !== 53) listen(address, port, place, `${reached}${address}`);
  }
  for (const port of forbiddenUdp) {
    const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
    socket.on('message', (seen, { address: to, port: back }) => {
      note(place, seen);
      socket.send(`${reached}${address}`, back, to);
    });
    socket.bind(port, address);
  }
}

// ---------------------------------------------------------------- names

const asked = new Map<string, number>();

/** A and AAAA of the table above, nothing else. Source: RFC 1035 §4.1. */
function answerName(query: Buffer): Buffer {
  const labels: string[] = [];
  let end = 12;
  for (let length = query[end] ?? 0; length > 0; length = query[end] ?? 0) {
    labels.push(query.subarray(end + 1, end + 1 + length).toString('latin1'));
    end += 1 + length;
  }
  const name = labels.join('.').toLowerCase();
  const type = query.readUInt16BE(end + 1);
  note('names', `${String(type)} ${name}`);
  const count = (asked.get(`${name} ${String(type)}`) ?? 0) + 1;
  asked.set(`${name} ${String(type)}`, count);
  const known = name === rebinding ? [count === 1 ? at.allowed : at.otherWorkspace] : (names[name] ?? []);
  const wanted = known.filter((one) => one.includes(':') === (type === 28) && (type === 1 || type === 28));
  const records = wanted.map((one) => {
    const bytes = one.includes(':') ? ipv6Bytes(one) : Buffer.from(one.split('.').map(Number));
    const head = Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 0, 0, bytes.length]);
    return Buffer.concat([head, bytes]);
  });
  const head = Buffer.from(query.subarray(0, 12));
  head.writeUInt16BE(known.length === 0 ? 0x8183 : 0x8180, 2);
  head.writeUInt16BE(1, 4);
  head.writeUInt16BE(records.length, 6);
  head.writeUInt32BE(0, 8);
  return Buffer.concat([head, query.subarray(12, end + 5), ...records]);
}

function ipv6Bytes(text: string): Buffer {
  const { hostname } = new URL(`http://[${text}]/`);
  const [left = '', right] = hostname.slice(1, -1).split('::');
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'));
  const [front, back] = [groups(left), groups(right ?? '')];
  const zeros = Array.from({ length: 8 - front.length - back.length }, () => '0');
  return Buffer.from([...front, ...zeros, ...back].map((one) => one.padStart(4, '0')).join(''), 'hex');
}

function nameServer(): void {
  const socket = createSocket('udp4');
  socket.on('message', (query, { address, port }) => socket.send(answerName(query), port, address));
  socket.bind(53, at.names);
}

if (role === 'world') {
  listenTcp(at.allowed, ports.web, 'allowed', allowedAnswer);
  listenTls(at.allowed, ports.tls, 'allowed', allowedAnswer);
  listenTcp(at.allowed6, ports.web, 'allowed', allowedAnswer);
  listenTls(at.coder, ports.tls, 'allowed', allowedAnswer);
  listenTcp(at.service, ports.service, 'allowed', allowedAnswer);
  listenTcp(at.service, ports.admin, `forbidden ${at.service}`, `${reached}the service's admin port`);
  for (const port of [22, ports.extra])
    listenTcp(at.allowed, port, `forbidden ${at.allowed}`, `${reached}${at.allowed}`);
  for (const one of [at.evil, at.evil6, at.publicNames, at.metadata, at.otherWorkspace, at.otherWorkspace6])
    forbidden(one);
  nameServer();
} else {
  // Beside the proxy, on its own machine.
  for (const address of ['0.0.0.0', '::1'])
    listenTcp(address, ports.admin, 'forbidden proxy', `${reached}the proxy's machine`);
}
process.stdout.write('ready\n');
