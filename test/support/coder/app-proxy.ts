import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** The apps of one running workspace, as Coder's agent reaches them; each is its owner's alone. */
export interface ProxiedWorkspace {
  readonly owner: string;
  readonly name: string;
  readonly isRunning: () => boolean;
  /** Address by slug. */
  readonly apps: Readonly<Record<string, string>>;
}

export interface AppProxy {
  readonly url: string;
  close(): void;
}

const signedOut = 'You are signed out or your session has expired. Please sign in again to continue.';
const cookieName = 'coder_session_token';
const ownCookies = /^(coder_|csrf_token$)/;

/**
 * Coder's proxy to apps of a workspace by path, before a simulated Coder that knows who a session is.
 *
 * Source   recorded answers of Coder 2.36.0, which a test holds it to, and coderd/workspaceapps/proxy.go for what becomes
 *          of path and query.
 */
export async function startAppProxy(coderUrl: string, workspace: ProxiedWorkspace): Promise<AppProxy> {
  const server = createServer((request, response) => {
    void answer(request, response).catch(() => page(response, 502, 'Bad Gateway'));
  });
  await new Promise<void>((settle) => server.listen(0, '127.0.0.1', settle));
  const url = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
  return { url, close: () => void server.close() };

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const asked = new URL(request.url ?? '/', url);
    const found = /^\/@([^/]+)\/([^/]+)\/apps\/([^/]+)(\/.*)?$/.exec(asked.pathname);
    const [, owner = '', name = '', slug = '', path = ''] = found ?? [];
    const who = await userOf(coderUrl, cookiesOf(request).get(cookieName));
    if (who === null) {
      const query = new URLSearchParams({ message: signedOut, redirect: asked.pathname + asked.search });
      return redirect(response, 303, `${coderUrl}/login?${query.toString()}`);
    }
    const app = workspace.apps[slug];
    const isKnown = owner === workspace.owner && name.replace(/\.main$/, '') === workspace.name && app !== undefined;
    if (!isKnown || who !== workspace.owner) return page(response, 404, 'Application Not Found');
    if (!workspace.isRunning()) return page(response, 400, 'Workspace Offline');
    if (path === '') return redirect(response, 307, `${asked.pathname}/`);
    const target = new URL(app);
    if (path === '/' && asked.search === '' && target.search !== '')
      return redirect(response, 307, asked.pathname + target.search);
    await forward(request, response, new URL(target.pathname.replace(/\/$/, '') + path + asked.search, target));
  }
}

async function userOf(coderUrl: string, session: string | undefined): Promise<string | null> {
  if (session === undefined) return null;
  const headers = { 'Coder-Session-Token': session };
  const answer = await fetch(`${coderUrl}/api/v2/users/me`, { headers });
  return answer.ok ? ((await answer.json()) as { username: string }).username : null;
}

const cookiesOf = ({ headers: { cookie = '' } }: IncomingMessage): ReadonlyMap<string, string> =>
  new Map(
    cookie
      .split(';')
      .map((pair) => pair.trim().split('='))
      .map(([name = '', value = '']) => [name, value]),
  );

function forward(request: IncomingMessage, response: ServerResponse, to: URL): Promise<void> {
  const kept = [...cookiesOf(request)].filter(([name]) => !ownCookies.test(name)).map((pair) => pair.join('='));
  const headers = { ...request.headers, cookie: kept.join('; '), 'x-forwarded-proto': 'http' };
  return new Promise((settle, fail) => {
    const asked = httpRequest(to, { method: request.method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response).once('close', settle);
    });
    asked.once('error', fail);
    request.pipe(asked);
  });
}

const redirect = (response: ServerResponse, status: number, location: string): void =>
  void response.writeHead(status, { Location: location }).end();

const page = (response: ServerResponse, status: number, title: string): void =>
  void response
    .writeHead(status, { 'Content-Type': 'text/html; charset=utf-8' })
    .end(`<title>${String(status)} - ${title}</title>`);
