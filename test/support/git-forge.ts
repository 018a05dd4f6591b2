import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** A git host on loopback: git's own `http-backend` behind basic authentication, private repositories only. */
export interface GitForge {
  /** `127.0.0.1:<port>` */
  readonly host: string;
  readonly requests: readonly { readonly method: string; readonly path: string; readonly authorization: string }[];
  /** What it answers instead of git; null for git. */
  instead: ((request: IncomingMessage, response: ServerResponse) => void) | null;
  /** Makes a bare repository with one commit on `main`; `path` is such as `acme/app`. */
  addRepository(path: string): void;
  /** Runs git in a repository of the forge. */
  git(path: string, ...args: string[]): string;
  close(): Promise<void>;
}

const environment = {
  PATH: process.env['PATH'],
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_AUTHOR_NAME: 'Ada',
  GIT_AUTHOR_EMAIL: 'ada@example.com',
  GIT_COMMITTER_NAME: 'Ada',
  GIT_COMMITTER_EMAIL: 'ada@example.com',
};

export async function startGitForge(account: { username: string; password: string }): Promise<GitForge> {
  const root = mkdtempSync(join(tmpdir(), 'outrigger-forge-'));
  const expected = `Basic ${Buffer.from(`${account.username}:${account.password}`).toString('base64')}`;
  const requests: { method: string; path: string; authorization: string }[] = [];
  const forge = { instead: null as GitForge['instead'] };
  const server = createServer((request, response) => {
    const authorization = request.headers.authorization ?? '';
    requests.push({ method: request.method ?? '', path: request.url ?? '', authorization });
    if (forge.instead) return forge.instead(request, response);
    if (authorization !== expected)
      return void response.writeHead(401, { 'www-authenticate': 'Basic realm="forge"' }).end(`not ${authorization}`);
    serveCgi(root, account.username, request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));

  const git = (path: string, ...args: string[]): string =>
    execFileSync('git', ['-C', join(root, `${path}.git`), ...args], {
      encoding: 'utf8',
      env: environment,
      maxBuffer: 256 * 1024 * 1024,
    }).trim();
  return {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    get instead() {
      return forge.instead;
    },
    set instead(value) {
      forge.instead = value;
    },
    addRepository(path) {
      const directory = join(root, `${path}.git`);
      mkdirSync(dirname(directory), { recursive: true });
      execFileSync('git', ['init', '--quiet', '--bare', '--initial-branch=main', directory], { env: environment });
      const tree = execFileSync('git', ['-C', directory, 'mktree'], { input: '', encoding: 'utf8', env: environment });
      const commit = git(path, 'commit-tree', '-m', 'first', tree.trim());
      git(path, 'update-ref', 'refs/heads/main', commit);
    },
    git,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          rmSync(root, { recursive: true, force: true });
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}

function serveCgi(root: string, user: string, request: IncomingMessage, response: ServerResponse): void {
  const [path = '', query = ''] = (request.url ?? '').split('?');
  const header = (name: string): string => String(request.headers[name] ?? '');
  const backend = spawn('git', ['http-backend'], {
    stdio: ['pipe', 'pipe', 'ignore'],
    env: {
      ...environment,
      GIT_PROJECT_ROOT: root,
      GIT_HTTP_EXPORT_ALL: '1',
      REMOTE_USER: user,
      REQUEST_METHOD: request.method ?? '',
      PATH_INFO: path,
      QUERY_STRING: query,
      CONTENT_TYPE: header('content-type'),
      HTTP_CONTENT_ENCODING: header('content-encoding'),
      GIT_PROTOCOL: header('git-protocol'),
      ...(request.headers['content-length'] ? { CONTENT_LENGTH: header('content-length') } : {}),
    },
  });
  request.pipe(backend.stdin).on('error', () => undefined);
  // A push that is cut would leave it waiting for the rest.
  response.once('close', () => backend.kill());
  let head = Buffer.alloc(0);
  backend.stdout.on('data', (piece: Buffer) => {
    if (response.headersSent) return void response.write(piece);
    head = Buffer.concat([head, piece]);
    const end = head.indexOf('\r\n\r\n');
    if (end < 0) return;
    const fields = head.toString('latin1', 0, end).split('\r\n');
    const headers = Object.fromEntries(fields.map((line) => line.split(/: (.*)/s).slice(0, 2) as [string, string]));
    const status = Number.parseInt(headers['Status'] ?? '200', 10);
    delete headers['Status'];
    response.writeHead(status, headers);
    response.write(head.subarray(end + 4));
  });
  backend.stdout.on('end', () => response.end());
}
