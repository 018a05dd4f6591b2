import { execFile } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { at, ports } from './addresses.ts';

/** What a program in a workspace can do without any right. Each answers with what came back, or why nothing did. */

const waitMs = 1_200;

function gather(socket: Socket, begin: () => void): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const over = (): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(text);
    };
    const timer = setTimeout(over, waitMs);
    socket.on('data', (piece: Buffer) => (text += piece.toString('latin1')));
    socket.on('error', (error) => {
      text += ` (${error.message})`;
      over();
    });
    socket.on('close', over);
    begin();
  });
}

const write = (socket: Socket, bytes: string): void => void socket.write(Buffer.from(bytes, 'latin1'));

/** A plain connection, around every proxy. */
export async function tcp(host: string, port: number, bytes: string): Promise<string> {
  const socket = connectTcp({ host, port });
  return await gather(socket, () => socket.once('connect', () => write(socket, bytes)));
}

/** Says this to the proxy, word for word. */
export const toProxy = (bytes: string): Promise<string> => tcp(at.proxy, ports.proxy, bytes);

/** Opens a tunnel and says this in it as soon as the proxy agreed. */
export async function inTunnel(authority: string, bytes: string, more = ''): Promise<string> {
  const socket = connectTcp({ host: at.proxy, port: ports.proxy });
  const text = gather(socket, () =>
    write(socket, `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${more}\r\n`),
  );
  socket.once('data', (piece: Buffer) => {
    if (piece.toString().startsWith('HTTP/1.1 200')) write(socket, bytes);
  });
  return await text;
}

/** TLS in a tunnel, under any server name or none, and a request in it. */
export function tlsInTunnel(authority: string, servername: string | null, request: string): Promise<string> {
  const socket = connectTcp({ host: at.proxy, port: ports.proxy });
  write(socket, `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      socket.destroy();
      resolve('(nothing came)');
    }, 2 * waitMs);
    const over = (text: string): void => {
      clearTimeout(timer);
      resolve(text);
    };
    socket.on('error', (error) => over(error.message));
    socket.once('data', (piece: Buffer) => {
      const answer = piece.toString('latin1');
      if (!answer.startsWith('HTTP/1.1 200')) return over(answer);
      const secure = connectTls({
        socket,
        rejectUnauthorized: false,
        ...(servername === null ? { servername: '' } : { servername }),
      });
      secure.on('error', (error) => over(error.message));
      void gather(secure, () => secure.once('secureConnect', () => secure.write(request))).then(over);
    });
  });
}

export function tlsDirect(host: string, port: number, request: string): Promise<string> {
  const secure = connectTls({ host, port, rejectUnauthorized: false, servername: 'allowed.example' });
  return gather(secure, () => secure.once('secureConnect', () => secure.write(request)));
}

export function udp(host: string, port: number, bytes: Buffer | string): Promise<string> {
  return new Promise((resolve) => {
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
    const over = (text: string): void => {
      clearTimeout(timer);
      socket.close();
      resolve(text);
    };
    const timer = setTimeout(() => over('(nothing came)'), waitMs);
    socket.once('error', (error) => over(error.message));
    socket.once('message', (answer) => over(answer.toString('latin1')));
    socket.send(bytes, port, host, (error) => {
      if (error) over(error.message);
    });
  });
}

/** Asks a name server for a name. A `type` of 1 is A, 16 TXT, 28 AAAA. */
export const nameQuery = (name: string, type: number): Buffer =>
  Buffer.concat([
    Buffer.from([1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
    ...name.split('.').map((one) => Buffer.from(`${String.fromCharCode(one.length)}${one}`, 'latin1')),
    Buffer.from([0, 0, type, 0, 1]),
  ]);

export function run(
  program: string,
  words: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<string> {
  return new Promise((resolve) => {
    const settings = { timeout: 6_000, env: { PATH: '/usr/bin:/bin', HOME: '/nonexistent', ...environment } };
    execFile(program, [...words], settings, (error, stdout, stderr) =>
      resolve(`${stdout} ${stderr} ${String(error?.code ?? '')}`),
    );
  });
}

export const get = (host: string, path: string, more = ''): string =>
  `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${more}\r\n`;
