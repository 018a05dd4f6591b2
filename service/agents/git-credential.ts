import { names } from '../../modules/contract.ts';
import type { KeyOwner } from '../gateway/provider-keys.ts';
import type { Clock } from '../platform/clock.ts';
import type { Database } from '../platform/database.ts';
import type { Secrets } from '../secrets/secrets.ts';
import { destinationOf, isExpired, type Credential } from './agent-entry.ts';
import { givenCredentials, openGiven, type GivenCredential } from './given-credentials.ts';

/** Names under which people keep tokens of well-known hosts, and the user name that goes with such a token. */
const known: Readonly<Record<string, { readonly host: string; readonly username: string }>> = {
  GITHUB_TOKEN: { host: 'github.com', username: 'x-access-token' },
  GH_TOKEN: { host: 'github.com', username: 'x-access-token' },
  GITLAB_TOKEN: { host: 'gitlab.com', username: 'oauth2' },
  BITBUCKET_TOKEN: { host: 'bitbucket.org', username: 'x-token-auth' },
};
/** Hosts that take a token as the password take any name beside it. */
const anyName = 'git';

/** Words of the well-known issuers that allow a push. */
const writeScopes: ReadonlySet<string> = new Set([
  'contents:write',
  'repo',
  'public_repo',
  'write_repository',
  'api',
  'repository:write',
  'write:repository',
]);

/** A credential for git as the broker sees it; the value is asked for apart. */
export interface GitCredential {
  /** The entry it stands in; null for one of the owner's own. */
  readonly agent: string | null;
  readonly name: string;
  readonly env: string;
  readonly host: string;
  readonly username: string;
  readonly scope: readonly string[] | null;
  readonly expiresAt: string | null;
  readonly isExpired: boolean;
  /** Whether what is said of its scope allows a push; true where nothing is said. */
  readonly mayPush: boolean;
  readonly branches: readonly string[];
  /** Whether its entry says for which repositories it is. */
  readonly namesRepositories: boolean;
  /** Whether it may be used for the repository with this path. */
  covers(path: string): boolean;
  /** The value in the clear; null where none is stored. Throws `unavailable` for one that can stand in no header. */
  open(): Promise<string | null>;
}

/** The host a credential is for; null for one that git has no use for. */
export const gitHostOf = (credential: Credential): string | null =>
  destinationOf(credential) === 'broker' ? (credential.host ?? known[credential.env]?.host ?? null) : null;

/** Credentials for git that work may be done with: its owner's first, then the organization's in their order. */
export type GitCredentialsOf = (work: KeyOwner) => Promise<readonly GitCredential[]>;

export function makeGitCredentials(parts: {
  readonly database: Database;
  readonly secrets: Pick<Secrets, 'open'>;
  readonly clock: Clock;
}): GitCredentialsOf {
  return async (work) =>
    (await givenCredentials(parts.database, work)).flatMap((given) => {
      const host = gitHostOf(given.credential);
      if (host === null) return [];
      const open = (): Promise<string | null> => openGiven(parts.secrets, given, 'broker', work);
      return [{ ...describe(given, host), isExpired: isExpired(given.credential, parts.clock.now()), open }];
    });
}

const describe = ({ agent, credential }: GivenCredential, host: string) => ({
  agent,
  name: credential.name,
  env: credential.env,
  host,
  username: credential.username ?? known[credential.env]?.username ?? anyName,
  scope: credential.scope ?? null,
  expiresAt: credential.expiresAt ?? null,
  mayPush: credential.scope?.some((word) => writeScopes.has(word.toLowerCase().replaceAll(' ', ''))) ?? true,
  branches: credential.branches ?? [`${names.branchPrefix}*`],
  namesRepositories: credential.repositories !== undefined,
  covers: (path: string): boolean => credential.repositories?.some((pattern) => matches(path, pattern)) ?? true,
});

function matches(path: string, pattern: string): boolean {
  const [asked, allowed] = [path.toLowerCase(), pattern.toLowerCase()];
  return allowed.endsWith('/*') ? asked.startsWith(allowed.slice(0, -1)) : asked === allowed;
}
