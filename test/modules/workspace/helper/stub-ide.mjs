// Stands in for code-server, and for the servers of Visual Studio Code: the same flags, the same socket, the same health,
// and the same door, which reads any file for whoever asks.
import { appendFileSync, chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';

const flag = (name) => process.argv[process.argv.indexOf(name) + 1];
const isCodeServer = process.argv.includes('--socket');
const socket = flag(isCodeServer ? '--socket' : '--socket-path');
const notes = process.env.STUB_NOTES;
const note = (request) =>
  appendFileSync(notes, `${JSON.stringify({ url: request.url, method: request.method, headers: request.headers })}\n`);

writeFileSync(
  `${notes}.start`,
  JSON.stringify({ argv: process.argv.slice(2), environment: process.env, pid: process.pid }),
);
if (process.env.STUB_DIES !== undefined) process.exit(7);

const server = createServer((request, response) => {
  const url = new URL(request.url, 'http://ide');
  if (isCodeServer && url.pathname === '/healthz') return response.end('{"status":"expired"}');
  if (!isCodeServer && url.pathname === '/version') return response.end('0123abc');
  note(request);
  if (url.pathname === '/healthz') return response.writeHead(404).end();
  if (url.pathname === '/vscode-remote-resource') return response.end(readFileSync(url.searchParams.get('path')));
  if (url.pathname === '/deep/redirect') return response.writeHead(302, { Location: '/login?to=1' }).end();
  if (url.pathname === '/cookies') {
    response.setHeader('Set-Cookie', ['coder_session_token=evil; Path=/', 'theme=dark']);
    response.setHeader('Clear-Site-Data', '"*"');
    return response.end();
  }
  if (url.pathname === '/crash') process.exit(9);
  if (url.pathname === '/large') return response.end(Buffer.alloc(8 * 1024 * 1024, 'x'));
  const body = [];
  request.on('data', (chunk) => body.push(chunk));
  request.on('end', () => response.end(`got ${Buffer.concat(body).length} bytes`));
});
server.on('upgrade', (request, stream, head) => {
  note(request);
  stream.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
  stream.write(head);
  stream.pipe(stream);
  stream.on('error', () => stream.destroy());
});
server.listen(socket, () => {
  if (isCodeServer) chmodSync(socket, Number.parseInt(flag('--socket-mode'), 8));
});
process.on('SIGTERM', () => process.exit(0));
