import type { GitCredential, GitCredentialsOf } from '../agents/git-credential.ts';
import type { TaskIdentity } from '../gateway/gateway.ts';
import { credentialExpired, noCredential, notListed, scopeTooSmall } from './faults.ts';
import { isSame, type Repository } from './repository.ts';
import type { RepositoriesOf } from './workspace-repositories.ts';

/** A repository that a task may reach, and what it is reached with. */
export interface Grant {
  /** As the workspace's own list names it, never as it was asked for. */
  readonly repository: Repository;
  readonly credential: GitCredential;
}

export interface Grants {
  /** Errors: `forbidden`, with what is missing. */
  find(identity: TaskIdentity, asked: Repository, requestId: string): Promise<Grant>;
  /** Every repository of the workspace that there is a credential for, expired ones too. */
  list(identity: TaskIdentity, requestId: string): Promise<readonly Grant[]>;
}

export function makeGrants(parts: {
  readonly repositoriesOf: RepositoriesOf;
  readonly credentialsOf: GitCredentialsOf;
}): Grants {
  const { repositoriesOf, credentialsOf } = parts;
  return {
    async find(identity, asked, requestId) {
      const repository = (await repositoriesOf(identity, requestId)).find((one) => isSame(one, asked));
      if (!repository) throw notListed(asked);
      const credential = choose(await credentialsOf(identity.organizationId), repository);
      if (!credential) throw noCredential(repository);
      if (credential.isExpired) throw credentialExpired(credential.name, credential.expiresAt ?? '');
      return { repository, credential };
    },
    async list(identity, requestId) {
      const credentials = await credentialsOf(identity.organizationId);
      return (await repositoriesOf(identity, requestId)).flatMap((repository) => {
        const credential = choose(credentials, repository);
        return credential ? [{ repository, credential }] : [];
      });
    },
  };
}

/** The first that is for the repository and has not expired, else the first that has. */
function choose(credentials: readonly GitCredential[], { host, path }: Repository): GitCredential | undefined {
  const fitting = credentials.filter((one) => one.host === host && one.covers(path));
  return fitting.find((one) => !one.isExpired) ?? fitting[0];
}

/** Errors: `forbidden` where what is said of the scope allows no push. */
export function mustAllowPush({ name, mayPush, scope }: GitCredential): void {
  if (!mayPush) throw scopeTooSmall(name, scope ?? []);
}
