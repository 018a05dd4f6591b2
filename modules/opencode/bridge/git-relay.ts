import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';

/** What git says of itself that the service needs; everything else stays in the workspace. */
const kept = ['accept', 'content-type', 'content-encoding', 'content-length', 'git-protocol'];
const keptOnReturn = ['content-type', 'cache-control'];

export interface GitRelayCall {
  readonly serviceUrl: string;
  readonly taskToken: string;
  /** Path and query behind `/git`. */
  readonly rest: string;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly signal: AbortSignal;
}

/**
 * Passes a request of git's smart HTTP to the service's broker, with the task token that git does not have.
 *
 * Errors   what the service refuses comes back as plain text, which git shows to whoever pushes; a 401 as 403, because
 *          git would ask for a password that nobody here has.
 */
export async function relayGit({
  serviceUrl,
  taskToken,
  rest,
  request,
  response,
  signal,
}: GitRelayCall): Promise<void> {
  const isPost = request.method === 'POST';
  const headers: Record<string, string> = { authorization: `Bearer ${taskToken}`, 'accept-encoding': 'identity' };
  for (const name of kept) {
    const value = request.headers[name];
    if (typeof value === 'string' && (isPost || !name.startsWith('content-'))) headers[name] = value;
  }
  const target = new URL(`${serviceUrl}/git${rest}`);
  // The token opens more of the service than its git.
  if (!target.pathname.startsWith(new URL(`${serviceUrl}/git/`).pathname)) return refuse(response, notFound());
  const answer = await fetch(target, {
    method: isPost ? 'POST' : 'GET',
    headers,
    signal,
    redirect: 'error',
    // The service may answer before it has read the body; a connection with its rest in it serves nobody else.
    keepalive: !isPost,
    ...(isPost ? { body: Readable.toWeb(request), duplex: 'half' } : {}),
  } as RequestInit);
  if (!answer.ok) return refuse(response, answer);
  for (const name of keptOnReturn) {
    const value = answer.headers.get(name);
    if (value !== null) response.setHeader(name, value);
  }
  response.writeHead(answer.status);
  const reader = answer.body?.getReader();
  for (let piece = await reader?.read(); piece?.done === false; piece = await reader?.read()) {
    if (response.write(piece.value) || response.destroyed) continue;
    await new Promise<void>((resolve) => {
      response.once('drain', resolve);
      response.once('close', resolve);
    });
  }
  response.end();
}

const notFound = (): Response => new Response('', { status: 404 });

async function refuse(response: ServerResponse, answer: Response): Promise<void> {
  const text = await answer.text().catch(() => '');
  response.writeHead(answer.status === 401 ? 403 : answer.status, { 'content-type': 'text/plain' });
  response.end(`${detailOf(text)}\n`);
}

/** The sentence of a problem document, which is what the service answers with. */
function detailOf(text: string): string {
  try {
    const { detail } = JSON.parse(text) as { detail?: unknown };
    if (typeof detail === 'string') return detail;
  } catch {
    // Something between us and the service answered.
  }
  return 'The service did not pass this on.';
}
