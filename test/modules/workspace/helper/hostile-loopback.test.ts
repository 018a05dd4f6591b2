import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { readdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  asTheAgent,
  fileCanary,
  gatePath,
  installHelper,
  makeWorker,
  sendRaw,
  tokenCanary,
  until,
  type HelperProcess,
  type Tools,
  type Worker,
} from './world.ts';

let tools: Tools;
let worker: Worker;
let helper: HelperProcess;
beforeAll(async () => {
  tools = await installHelper();
  worker = await makeWorker(tools, { OUTRIGGER_IDE_ENABLED: 'true' });
  helper = worker.start('serve');
  await until('the IDE', () => worker.state()?.phase === 'Ready');
});
afterAll(async () => {
  expect(await worker.end()).toEqual([]);
  tools.remove();
});

const crlf = '\r\n';
const request = (target: string, ...headers: string[]): string =>
  ['GET ' + target + ' HTTP/1.1', 'Host: 127.0.0.1', ...headers, '', ''].join(crlf);
const read = (file: string): string => `/vscode-remote-resource?path=${file}`;
const environ = read('/proc/self/environ');
const websocket = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Key: AAAA', 'Sec-WebSocket-Version: 13'];
const wrong = 'f'.repeat(64);

/** Each is a whole conversation; those with the right path show that nothing but its exact form opens the gate. */
const corpus: readonly (readonly [what: string, bytes: string | Buffer])[] = [
  ['the door of the IDE itself', request(environ)],
  ['the root', request('/')],
  ['its health', request('/healthz')],
  ['another path of the right length', request(`/${wrong}${environ}`)],
  ['the path without its last digit', request(`/${gatePath.slice(0, -1)}${environ}`)],
  ['the path with one digit more', request(`/${gatePath}0${environ}`)],
  ['the path in capitals', request(`/${gatePath.toUpperCase()}${environ}`)],
  ['the path after a second slash', request(`//${gatePath}${environ}`)],
  ['the path behind a dot', request(`/./${gatePath}${environ}`)],
  ['the path behind a climb', request(`/x/../${gatePath}${environ}`)],
  ['the path with an escaped slash', request(`/%2f${gatePath}${environ}`)],
  ['the path with an escaped digit', request(`/%${gatePath.charCodeAt(0).toString(16)}${gatePath.slice(1)}${environ}`)],
  ['the path and then an escaped slash', request(`/${gatePath}%2f${environ}`)],
  ['the path as query', request(`/?${gatePath}`)],
  ['the path in a header', request(environ, `X-Original-URL: /${gatePath}/`, `X-Rewrite-URL: /${gatePath}/`)],
  ['the path as host', request(environ, `X-Forwarded-Host: ${gatePath}`, `X-Forwarded-Prefix: /${gatePath}`)],
  ['the path as origin of the request', request(environ, `Referer: http://127.0.0.1/${gatePath}/`)],
  ['a climb out of a wrong path', request(`/${wrong}/../../proc/self/environ`)],
  ['the address in absolute form', request(`http://127.0.0.1${environ}`)],
  ['the address of another host', request(`http://localhost:22/`)],
  ['the right path in absolute form', request(`http://127.0.0.1/${gatePath}${environ}`)],
  ['a tunnel', `CONNECT 127.0.0.1:22 HTTP/1.1${crlf}Host: 127.0.0.1:22${crlf}${crlf}`],
  ['an asterisk', `OPTIONS * HTTP/1.1${crlf}Host: x${crlf}${crlf}`],
  ['a trace', `TRACE /${gatePath}/ HTTP/1.1${crlf}Host: x${crlf}${crlf}`],
  ['HTTP/1.0', `GET /${gatePath}${environ} HTTP/1.0${crlf}${crlf}`],
  ['HTTP/0.9', `GET /${gatePath}${environ}${crlf}${crlf}`],
  ['the preface of HTTP/2', `PRI * HTTP/2.0${crlf}${crlf}SM${crlf}${crlf}`],
  [
    'an upgrade to HTTP/2',
    request(environ, 'Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAAA'),
  ],
  ['a WebSocket', request('/', ...websocket)],
  ['a WebSocket under a wrong path', request(`/${wrong}/`, ...websocket)],
  [
    'a WebSocket and what would be its first bytes',
    request(`/${wrong}/`, ...websocket) + request(`/${gatePath}${environ}`),
  ],
  ['a second request behind the first', request('/') + request(`/${gatePath}${environ}`)],
  [
    'a second request in the body of the first',
    request('/', 'Content-Length: 200') + request(`/${gatePath}${environ}`),
  ],
  ['two lengths', request(`/${gatePath}${environ}`, 'Content-Length: 0', 'Content-Length: 5')],
  ['a length and chunks', request(`/${gatePath}${environ}`, 'Content-Length: 5', 'Transfer-Encoding: chunked')],
  ['an odd coding', request(`/${gatePath}${environ}`, 'Transfer-Encoding: xchunked')],
  ['a folded header', request(`/${gatePath}${environ}`, 'X: a', ' b')],
  ['a space before the colon', request(`/${gatePath}${environ}`, 'Content-Length : 5')],
  ['a header without a name', request(`/${gatePath}${environ}`, ': x')],
  ['a zero byte', request(`/${gatePath}${environ}`, 'X: \0')],
  ['a lone carriage return', request(`/${gatePath}${environ}`, 'X: a\rY: b')],
  ['a lone line feed', request(`/${gatePath}${environ}`, 'X: a\nY: b')],
  ['a space in the target', request(`/${gatePath}/ /x`)],
  ['129 headers', request(`/${gatePath}${environ}`, ...Array<string>(128).fill('X: y'))],
  ['a head of 65 KB', request(`/${gatePath}${environ}`, `X: ${'y'.repeat(66_000)}`)],
  ['a head of 5 MB that never ends', `GET /${gatePath}/ HTTP/1.1${crlf}X: ${'y'.repeat(5_000_000)}`],
  ['only line ends', crlf.repeat(2)],
  ['the first bytes of TLS', Buffer.from('16030100f1010000ed0303', 'hex')],
  ['noise', randomBytes(70_000)],
];

describe('the port of the IDE', () => {
  it('would give everything away to whoever knows the path, so that the refusals below mean something', async () => {
    const got = await sendRaw(worker.port, request(`/${gatePath}${environ}`));

    expect(got).toContain(`CODER_AGENT_TOKEN=${tokenCanary}`);
    expect(await sendRaw(worker.port, request(`/${gatePath}${read(`${worker.home}/secret.txt`)}`))).toContain(
      fileCanary,
    );
  });

  it.each(corpus)('says 404 and nothing else to %s', async (_what, bytes) => {
    const before = worker.asked().length;
    const isNeverEnding = !bytes.includes(`${crlf}${crlf}`) && bytes.length < 65_536;

    const got = isNeverEnding ? await asksAndLeaves(bytes) : await sendRaw(worker.port, bytes);

    expect([404, null]).toContain(statusOf(got));
    expect(got === '' ? '' : got.slice(got.indexOf(`${crlf}${crlf}`) + 4)).toBe('');
    expect(got).not.toMatch(/canary/);
    expect(worker.asked()).toHaveLength(before);
  });

  it('answers each request with the same bytes, so that nothing can be learned from them', async () => {
    const answers = new Set(
      await Promise.all(
        [environ, '/', `/${wrong}/`, `/${gatePath}0/`].map(async (path) => await sendRaw(worker.port, request(path))),
      ),
    );

    expect([...answers]).toEqual(['HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n']);
  });

  it('serves one request per connection, even to Coder', async () => {
    const before = worker.asked().length;

    const got = await sendRaw(
      worker.port,
      request(`/${gatePath}/one`) + request('/two') + request(`/${gatePath}/three`),
    );

    expect(got.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200']);
    expect(
      worker
        .asked()
        .slice(before)
        .map(({ url }) => url),
    ).toEqual(['/one']);
  });

  it('still lets the person in while the agent holds hundreds of connections and says nothing', async () => {
    const held = Array.from({ length: 400 }, () => connect({ host: '127.0.0.1', port: worker.port }));
    for (const socket of held) socket.on('error', () => undefined);
    try {
      await Promise.all(held.map(async (socket) => await new Promise((settle) => socket.once('connect', settle))));

      expect(statusOf(await sendRaw(worker.port, request(`/${gatePath}/`)))).toBe(200);
    } finally {
      for (const socket of held) socket.destroy();
    }
  });

  it('cannot be shared or taken over', async () => {
    const got = await asTheAgent(
      `import { createServer } from 'node:net';
       for (const host of ['127.0.0.1', '0.0.0.0', '::ffff:127.0.0.1']) {
         await new Promise((settle) => {
           const server = createServer();
           server.once('error', (error) => settle(console.log(error.code)));
           server.listen({ host, port: ${String(worker.port)}, reusePort: true }, () => settle(console.log('taken')));
         });
       }
       process.exit(0);`,
    );

    expect(got.trim().split('\n')).toEqual(['EADDRINUSE', 'EADDRINUSE', 'EADDRINUSE']);
  });
});

describe('what else the agent can reach', () => {
  it('is neither the socket of the IDE, nor its folder, nor the home, nor what its processes hold', async () => {
    const socket = worker.ideStart()?.argv.at((worker.ideStart()?.argv.indexOf('--socket') ?? 0) + 1) ?? '';
    const paths = [
      `${worker.home}/secret.txt`,
      `${worker.home}/.local/share/outrigger-ide/ide.pid`,
      `/proc/${String(helper.pid)}/environ`,
      `/proc/${String(worker.ideStart()?.pid)}/environ`,
    ];

    const got = await asTheAgent(
      `import { connect } from 'node:net';
       import { readFileSync, readdirSync } from 'node:fs';
       import { dirname } from 'node:path';
       const [socket, ...paths] = process.argv.slice(1);
       for (const path of paths) try { console.log(readFileSync(path, 'utf8')); } catch (error) { console.log(error.code); }
       try { console.log(readdirSync(dirname(socket))); } catch (error) { console.log(error.code); }
       connect(socket).once('error', (error) => console.log(error.code)).once('connect', () => process.exit(console.log('in')));`,
      [socket, ...paths],
    );

    expect(socket).toMatch(/ide\.sock$/);
    expect(got.trim().split('\n')).toEqual(Array<string>(paths.length + 2).fill('EACCES'));
  });

  it('holds no word of the path, the token or the home', () => {
    const shared = readdirSync(worker.runDir);

    expect(shared).toEqual(['ide-state.json']);
    expect(JSON.stringify(worker.state())).toBe('{"phase":"Ready","message":"","generation":0}');
    expect(worker.lines.join('\n')).not.toMatch(new RegExp(`canary|${gatePath}|${worker.home}`));
  });

  it('has not stopped the helper', async () => {
    expect(helper.pid).toBeGreaterThan(0);
    expect(statusOf(await sendRaw(worker.port, request(`/${gatePath}/healthz`)))).toBe(200);
    expect(worker.lines.filter((line) => line.includes('reached nobody'))).toEqual([]);
  });
});

const statusOf = (answer: string): number | null => Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1] ?? 0) || null;

/** For what is no whole head: the gate waits for more, so the asker goes. */
async function asksAndLeaves(bytes: string | Buffer): Promise<string> {
  return await new Promise((settle) => {
    const chunks: Buffer[] = [];
    const socket = connect({ host: '127.0.0.1', port: worker.port }, () => socket.end(bytes));
    socket.on('data', (chunk: Buffer) => void chunks.push(chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => settle(Buffer.concat(chunks).toString('latin1')));
  });
}
