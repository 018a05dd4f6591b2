import type { GitCredential, GitCredentialsOf } from '../agents/git-credential.ts';
import type { TaskIdentity } from '../gateway/gateway.ts';
import { credentialExpired, noCredential, notListed, scopeTooSmall } from './faults.ts';
import type { GitService } from './forge.ts';
import { isSame, type Repository } from './repository.ts';
import type { RepositoriesOf } from './workspace-repositories.ts';

/** A repository that a task may reach, and what it is reached with. */
export interface Grant {
  /** As the workspace's own list names it, never as it was asked for. */
  readonly repository: Repository;
  readonly credential: GitCredential;
}

/** What a request is about. */
export interface Wish {
  readonly repository: Repository;
  readonly service: GitService;
}

export interface Grants {
  /** Errors: `forbidden`, with what is missing. */
  find(identity: TaskIdentity, asked: Wish, requestId: string): Promise<Grant>;
  /** Every repository of the workspace that there is a credential for, expired ones too; each with its best. */
  list(
    of: Pick<TaskIdentity, 'workspaceId' | 'ownerId' | 'organizationId'>,
    requestId: string,
  ): Promise<readonly Grant[]>;
}

export function makeGrants(parts: {
  readonly repositoriesOf: RepositoriesOf;
  readonly credentialsOf: GitCredentialsOf;
}): Grants {
  const { repositoriesOf, credentialsOf } = parts;
  return {
    async find(identity, { repository: asked, service }, requestId) {
      const repository = (await repositoriesOf(identity, requestId)).find((one) => isSame(one, asked));
      if (!repository) throw notListed(asked);
      const credential = choose(await credentialsOf(identity), repository, service);
      if (!credential) throw noCredential(repository);
      if (credential.isExpired) throw credentialExpired(credential.name, credential.expiresAt ?? '');
      return { repository, credential };
    },
    async list(of, requestId) {
      const credentials = await credentialsOf(of);
      return (await repositoriesOf(of, requestId)).flatMap((repository) => {
        const credential = choose(credentials, repository, 'git-receive-pack');
        return credential ? [{ repository, credential }] : [];
      });
    },
  };
}

/** The best of those that are for the repository; of equals the first, so that an order that was written down counts. */
function choose(
  credentials: readonly GitCredential[],
  { host, path }: Repository,
  service: GitService,
): GitCredential | undefined {
  const fitting = credentials.filter((one) => one.host === host && one.covers(path));
  return fitting.sort((one, other) => worthOf(other, service) - worthOf(one, service))[0];
}

/**
 * One that has not expired comes first, then for a push one that may, then the owner's own, then one that names its
 * repositories.
 */
const worthOf = ({ agent, isExpired, mayPush, namesRepositories }: GitCredential, service: GitService): number =>
  (isExpired ? 0 : 8) +
  (service === 'git-receive-pack' && mayPush ? 4 : 0) +
  (agent === null ? 2 : 0) +
  (namesRepositories ? 1 : 0);

/** Errors: `forbidden` where what is said of the scope allows no push. */
export function mustAllowPush({ name, mayPush, scope }: GitCredential): void {
  if (!mayPush) throw scopeTooSmall(name, scope ?? []);
}
