import type { Request, Response } from 'express';
import { z } from 'zod';
import { makeGitCredentials } from '../agents/git-credential.ts';
import type { AuditLog } from '../audit/audit-log.ts';
import type { Coder } from '../coder/coder.ts';
import type { TaskIdentity } from '../gateway/gateway.ts';
import { makeOpenCalls } from '../gateway/open-calls.ts';
import { bearerOf, missingToken } from '../identity/identity.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import { ServiceError } from '../platform/errors.ts';
import { requestId, type Route } from '../platform/http.ts';
import type { Secrets } from '../secrets/secrets.ts';
import { makeBrake } from './brake.ts';
import { makeForge } from './forge.ts';
import { makeRecordGit, makeSeldom } from './git-audit.ts';
import { gitLimits, type GitLimits } from './git-call.ts';
import { makeGrants, type Grant, type Grants } from './grant.ts';
import { nameOf } from './repository.ts';
import { makeServeGit } from './serve-git.ts';
import { makeRepositoriesOf } from './workspace-repositories.ts';

/** The room between a task's git and the hosts of its repositories: credentials stay here. */
export interface Broker {
  readonly routes: readonly (Route & { readonly rawBody: true })[];
  /** Which repositories a workspace's tasks reach, each with its best credential. */
  readonly grantsOf: Grants['list'];
  /** Ends the open requests of a task and says how many there were. */
  abortCalls(taskId: string): number;
  /** Ends every open request and waits until each is audited. */
  close(): Promise<void>;
}

export interface BrokerOptions {
  readonly database: Database;
  readonly audit: Pick<AuditLog, 'append'>;
  readonly secrets: Pick<Secrets, 'open'>;
  readonly coder: Pick<Coder, 'readWorkspace' | 'buildParameters'>;
  /** Errors: `unauthenticated` for a token that has ended, or that nobody waits for. */
  readonly authenticate: (token: string) => Promise<TaskIdentity>;
  readonly clock: Clock;
  /** Lets a forge be on this machine, without TLS. For tests and demonstrations. */
  readonly allowLoopback: boolean;
  readonly limits?: Partial<GitLimits>;
}

export function makeBroker(options: BrokerOptions): Broker {
  const { clock } = options;
  const openCalls = makeOpenCalls();
  const forge = makeForge(options);
  const grants = makeGrants({
    repositoriesOf: makeRepositoriesOf(options),
    credentialsOf: makeGitCredentials(options),
  });
  const serveGit = makeServeGit({
    forge,
    grants,
    openCalls,
    record: makeRecordGit(options),
    limits: { ...gitLimits, ...options.limits },
    held: new Set(),
    brake: makeBrake(clock),
    seldom: makeSeldom(clock),
    stillRuns: async (request) => {
      const token = bearerOf(request);
      if (token === undefined) throw missingToken();
      await options.authenticate(token);
    },
  });
  const git = (request: Request, response: Response): Promise<void> => serveGit(taskOf(response), request, response);

  return {
    routes: [
      {
        method: 'get',
        path: '/git/access',
        guard: 'task',
        rawBody: true,
        summary: 'Says which repositories the running task reaches, with what scope and until when; never a value.',
        shape: { answers: { 200: z.strictObject({ items: z.array(z.looseObject({ may_push: z.boolean() })) }) } },
        handler: async (_request, response) => {
          const found = await grants.list(taskOf(response), requestId(response));
          response.json({ items: found.map(present) });
        },
      },
      {
        method: 'get',
        path: '/git/*path',
        guard: 'task',
        rawBody: true,
        summary: 'Answers what there is in a repository of the workspace (git smart HTTP).',
        shape: { answers: { 200: 'application/x-git' } },
        handler: git,
      },
      {
        method: 'post',
        path: '/git/*path',
        guard: 'task',
        rawBody: true,
        summary: 'Fetches from a repository of the workspace, or pushes branches that the credential allows.',
        shape: { body: 'application/x-git', answers: { 200: 'application/x-git' } },
        handler: git,
      },
    ],
    grantsOf: grants.list,
    abortCalls: (taskId) => openCalls.abort(taskId),
    async close() {
      openCalls.abortAll();
      await openCalls.drained();
      await forge.close();
    },
  };
}

const present = ({ repository, credential }: Grant) => ({
  repository: nameOf(repository),
  credential: credential.name,
  env: credential.env,
  scope: credential.scope,
  expires_at: credential.expiresAt,
  expired: credential.isExpired,
  may_push: credential.mayPush && !credential.isExpired,
  branches: credential.branches,
});

function taskOf(response: Response): TaskIdentity {
  const task = response.locals['task'] as TaskIdentity | undefined;
  if (task === undefined)
    throw new ServiceError('internal', 'task_guard_missing', 'A git route ran without its guard.');
  return task;
}
