import type { Request, Response } from 'express';
import type { TaskIdentity } from '../gateway/gateway.ts';
import type { OpenCalls } from '../gateway/open-calls.ts';
import { lightFuse, type Fuse } from '../gateway/upstream.ts';
import { ServiceError } from '../platform/errors.ts';
import { asServiceError, requestId } from '../platform/http.ts';
import type { Brake } from './brake.ts';
import { forgeSilent, noCredential, taskStopped } from './faults.ts';
import type { ForgeAnswer, GitService } from './forge.ts';
import type { Seldom } from './git-audit.ts';
import { bodyOf, clientHeaders, credentialOf, pour, type GitCall, type GitCallParts } from './git-call.ts';
import { mustAllowPush, type Grants } from './grant.ts';
import { push } from './push.ts';
import { makeRepository, nameOf, type Repository } from './repository.ts';

export interface ServeGitParts extends GitCallParts {
  readonly grants: Grants;
  readonly brake: Brake;
  readonly openCalls: OpenCalls;
  /** Whether a use of a credential is to be written down, where one use is many requests. */
  readonly seldom: Seldom;
  /** Throws `unauthenticated` once the token of this request has ended. */
  readonly stillRuns: (request: Request) => Promise<void>;
}

/** What a path of ours asks for. */
interface Asked {
  readonly repository: Repository;
  readonly service: GitService;
  /** `discover` asks what there is; the others carry the two protocols. */
  readonly step: 'discover' | 'fetch' | 'push';
}

/** Answers one request of git's smart HTTP for the task that `identity` speaks for. */
export function makeServeGit(parts: ServeGitParts) {
  return async (identity: TaskIdentity, request: Request, response: Response): Promise<void> => {
    const asked = readAsked(request);
    const release = parts.brake.enter(identity.taskId);
    const fuse = lightFuse(parts.limits.silenceMs, parts.limits.totalMs);
    const leave = parts.openCalls.enter(identity, fuse);
    response.once('close', () => {
      if (!response.writableFinished) fuse.end('client_gone');
    });
    try {
      // The task may have ended between the guard and here, where its end would be heard.
      await parts.stillRuns(request);
      await serve(parts, { identity, asked, request, response, fuse });
    } catch (error) {
      const fault = faultOf(error, fuse, asked.repository.host);
      fuse.end('client_gone');
      if (fault === null || response.destroyed) return;
      // Whatever is left of the body must not be taken for the next request.
      if (!request.complete && !response.headersSent) response.setHeader('Connection', 'close');
      throw fault;
    } finally {
      fuse.clear();
      leave();
      release();
    }
  };
}

interface Serving {
  readonly identity: TaskIdentity;
  readonly asked: Asked;
  readonly request: Request;
  readonly response: Response;
  readonly fuse: Fuse;
}

async function serve(parts: ServeGitParts, serving: Serving): Promise<void> {
  const { asked, identity } = serving;
  const id = requestId(serving.response);
  let call: GitCall;
  try {
    call = await admit(parts, serving, id);
  } catch (error) {
    if (error instanceof ServiceError && error.kind === 'forbidden')
      await parts.record(identity, id, { ...opened(asked), outcome: 'denied', credential: null, reason: error.code });
    throw error;
  }
  await steps[asked.step](parts, call);
}

async function admit(parts: ServeGitParts, serving: Serving, id: string): Promise<GitCall> {
  const { asked, identity, request, response, fuse } = serving;
  const grant = await parts.grants.find(identity, asked, id);
  if (asked.service === 'git-receive-pack') mustAllowPush(grant.credential);
  const secret = await grant.credential.open();
  if (secret === null) throw noCredential(grant.repository);
  return {
    identity,
    requestId: id,
    asked: asked.repository,
    service: asked.service,
    grant,
    secret,
    fuse,
    request,
    response,
  };
}

const opened = ({ repository, service }: Asked) => ({ action: 'git.opened', repository, service }) as const;

const steps: Readonly<Record<Asked['step'], (parts: ServeGitParts, call: GitCall) => Promise<void>>> = {
  async discover(parts, call) {
    parts.seldom(useOf(call));
    const answer = await audited(parts, call, ask(parts, call, null));
    await pour(call, answer);
    call.response.end();
  },
  async fetch(parts, call) {
    const asking = ask(parts, call, bodyOf(call, parts.limits.wishBytes));
    // Git has asked what there is before, and fetches in several requests; whoever leaves that out is audited here.
    const answer = parts.seldom(useOf(call)) ? await audited(parts, call, asking) : await asking;
    await pour(call, answer);
    call.response.end();
  },
  push,
};

const useOf = ({ identity, grant, service }: GitCall): string =>
  `${identity.taskId} ${nameOf(grant.repository)} ${service}`;

/** Answers what the forge did, once it is written down that a credential was used for it; its failure is too. */
async function audited(parts: ServeGitParts, call: GitCall, asking: Promise<ForgeAnswer>): Promise<ForgeAnswer> {
  const write = (outcome: 'success' | 'failure', reason?: string): Promise<void> =>
    parts.record(call.identity, call.requestId, {
      action: 'git.opened',
      repository: call.grant.repository,
      service: call.service,
      outcome,
      credential: call.grant.credential.name,
      ...(reason === undefined ? {} : { reason }),
    });
  const answer = await asking.catch(async (error: unknown) => {
    await write('failure', error instanceof ServiceError ? error.code : (call.fuse.reason() ?? 'broken'));
    throw error;
  });
  await write('success');
  return answer;
}

const ask = ({ forge }: GitCallParts, call: GitCall, body: AsyncIterable<Buffer> | null) =>
  forge.send({
    repository: call.grant.repository,
    service: call.service,
    headers: clientHeaders(call),
    credential: credentialOf(call),
    fuse: call.fuse,
    body,
  });

const pathPattern = /^\/git\/([^/]+)\/(.+)\/(info\/refs|git-upload-pack|git-receive-pack)$/;

function readAsked({ path, method, query }: Request): Asked {
  const [, host = '', rest = '', end = ''] = pathPattern.exec(path) ?? [];
  const repository = makeRepository(host, rest);
  const service = end === 'info/refs' ? query['service'] : end;
  const isService = service === 'git-upload-pack' || service === 'git-receive-pack';
  if (!repository || !isService || (method === 'GET') !== (end === 'info/refs')) throw notGit();
  const step = method === 'GET' ? 'discover' : service === 'git-upload-pack' ? 'fetch' : 'push';
  return { repository, service, step };
}

const notGit = (): ServiceError =>
  new ServiceError(
    'not_found',
    'git_path_unknown',
    'There is nothing here. Use /git/<host>/<owner>/<repository>.git as the address of a repository, with git 1.6.6 or newer.',
  );

/** What to tell the client; null when there is nobody to tell. */
function faultOf(error: unknown, fuse: Fuse, host: string): ServiceError | null {
  switch (fuse.reason()) {
    case 'client_gone':
      return null;
    case 'stopped':
      return taskStopped();
    case 'silent':
    case 'too_long':
      return forgeSilent(host);
    case null:
      return asServiceError(error);
  }
}
