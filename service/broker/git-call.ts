import { once } from 'node:events';
import type { Request, Response } from 'express';
import type { Fuse } from '../gateway/upstream.ts';
import type { TaskIdentity } from '../gateway/gateway.ts';
import { ServiceError } from '../platform/errors.ts';
import { tooLarge } from './faults.ts';
import type { Forge, ForgeAnswer, GitService } from './forge.ts';
import type { RecordGit } from './git-audit.ts';
import type { Grant } from './grant.ts';
import type { Repository } from './repository.ts';

/** Bounds of one request. */
export interface GitLimits {
  /** What a client says while it fetches: what it wants and has. */
  readonly wishBytes: number;
  readonly pushBytes: number;
  /** A push to a branch that exists is held until its commits have been looked at. */
  readonly heldBytes: number;
  /** Pushes held at the same time, each of another task. */
  readonly held: number;
  readonly silenceMs: number;
  readonly totalMs: number;
}

export const gitLimits: GitLimits = {
  wishBytes: 16 * 1024 * 1024,
  pushBytes: 512 * 1024 * 1024,
  heldBytes: 32 * 1024 * 1024,
  held: 4,
  silenceMs: 120_000,
  totalMs: 30 * 60_000,
};

export interface GitCallParts {
  readonly forge: Forge;
  readonly record: RecordGit;
  readonly limits: GitLimits;
  /** The tasks whose pushes this process holds just now. */
  readonly held: Set<string>;
}

/** One request of a task's git, with all that was found out about it. */
export interface GitCall {
  readonly identity: TaskIdentity;
  readonly requestId: string;
  readonly asked: Repository;
  readonly service: GitService;
  readonly grant: Grant;
  /** The credential's value in the clear. */
  readonly secret: string;
  readonly fuse: Fuse;
  readonly request: Request;
  readonly response: Response;
}

export const credentialOf = ({ grant, secret }: GitCall) => ({
  name: grant.credential.name,
  username: grant.credential.username,
  value: secret,
});

/** What a client may say of itself to a forge; everything else it sends stays here. */
export function clientHeaders({ request, service }: Pick<GitCall, 'request' | 'service'>): Record<string, string> {
  const headers: Record<string, string> = { 'user-agent': 'git/2 (outrigger)' };
  const version = request.get('git-protocol') ?? '';
  if (service === 'git-upload-pack' && /^version=[0-2]$/.test(version)) headers['git-protocol'] = version;
  if (service === 'git-upload-pack' && request.get('content-encoding') === 'gzip') headers['content-encoding'] = 'gzip';
  return headers;
}

/** The body as it comes, each piece a sign of life. Throws `too_large` once it is longer than `mostBytes`. */
export async function* bodyOf(
  { request, fuse }: Pick<GitCall, 'request' | 'fuse'>,
  mostBytes: number,
): AsyncGenerator<Buffer> {
  let bytes = 0;
  try {
    for await (const piece of request as AsyncIterable<Buffer>) {
      fuse.touch();
      bytes += piece.length;
      if (bytes > mostBytes) throw tooLarge(mostBytes);
      yield piece;
    }
  } catch (error) {
    // Leaving the loop destroys the request with our own fault: its sender is still there to hear it.
    if (request.errored && !(error instanceof ServiceError)) fuse.end('client_gone');
    throw error;
  }
}

/** Passes an answer on as fast as it is read; `hear` is told each piece first. The caller ends the response. */
export async function pour(
  { response, fuse }: Pick<GitCall, 'response' | 'fuse'>,
  answer: ForgeAnswer,
  hear: (piece: Buffer) => void = () => undefined,
): Promise<void> {
  begin(response, answer.contentType);
  for await (const piece of answer.body) {
    hear(piece);
    fuse.pause();
    if (!response.write(piece)) await once(response, 'drain', { signal: fuse.signal });
    fuse.touch();
  }
}

export function begin(response: Response, contentType: string): void {
  response.status(200);
  response.setHeader('Content-Type', contentType);
  response.setHeader('Cache-Control', 'no-cache, max-age=0, must-revalidate');
  response.setHeader('X-Accel-Buffering', 'no');
}
