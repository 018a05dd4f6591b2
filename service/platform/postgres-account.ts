import { execFile } from 'node:child_process';
import { statSync } from 'node:fs';
import { userInfo } from 'node:os';
import { promisify } from 'node:util';
import { ServiceError } from './errors.ts';

/** Whose process Postgres is: `ids` is empty for our own account, and given when root hands it to another. */
export interface PostgresAccount {
  readonly ids: { readonly uid?: number; readonly gid?: number };
  readonly description: string;
}

/** Tried in this order when root has named none; `_postgres` is macOS'. */
const usualAccounts = ['postgres', '_postgres', 'nobody'];

/**
 * The account that runs Postgres, which refuses to run as root.
 *
 * Order    an existing cluster keeps its owner; else our own account; else, for root, `osUser` or a usual one.
 * Errors   `unavailable`: our uid has no passwd entry (initdb needs a name), no usable account for root, or the
 *          cluster belongs to somebody we cannot become.
 */
export async function choosePostgresAccount(options: {
  readonly uid: number;
  readonly osUser?: string | undefined;
  /** The folder of an existing cluster, if there is one. */
  readonly cluster?: string | undefined;
}): Promise<PostgresAccount> {
  const owner = options.cluster === undefined ? undefined : statSync(options.cluster);
  if (options.uid !== 0) {
    requirePasswdEntry(options.uid);
    if (owner !== undefined && owner.uid !== options.uid) throw clusterOfAnother(options.cluster ?? '', owner.uid);
    return { ids: {}, description: `uid ${options.uid}` };
  }
  if (owner !== undefined && owner.uid !== 0) {
    return { ids: { uid: owner.uid, gid: owner.gid }, description: `uid ${owner.uid}, the owner of the cluster` };
  }
  for (const name of options.osUser === undefined ? usualAccounts : [options.osUser]) {
    const ids = await lookUp(name);
    if (ids !== undefined && ids.uid !== 0) return { ids, description: `account ${name}` };
  }
  throw noAccount(options.osUser);
}

function requirePasswdEntry(uid: number): void {
  try {
    userInfo();
  } catch (cause) {
    throw new ServiceError(
      'unavailable',
      'postgres_account_unknown',
      `User id ${uid} has no entry in the system's user database, and the embedded Postgres cannot create its files without one. ` +
        'Set DATABASE_URL to a Postgres of yours, or run as a user the system knows.',
      { cause },
    );
  }
}

/** Asks the system (`id`), so that accounts of a directory service count as well. */
async function lookUp(name: string): Promise<{ uid: number; gid: number } | undefined> {
  const ask = async (flag: string) => Number((await promisify(execFile)('id', [flag, '--', name])).stdout);
  try {
    const [uid, gid] = [await ask('-u'), await ask('-g')];
    return Number.isSafeInteger(uid) && Number.isSafeInteger(gid) ? { uid, gid } : undefined;
  } catch {
    return undefined;
  }
}

const noAccount = (osUser: string | undefined): ServiceError =>
  new ServiceError(
    'unavailable',
    'postgres_account_missing',
    `Postgres refuses to run as root, and ${osUser === undefined ? `none of ${usualAccounts.join(', ')} is an account here` : `${osUser} is not an unprivileged account here`}. ` +
      'Name an existing unprivileged account, start the service as one, or set DATABASE_URL to a Postgres of yours.',
  );

const clusterOfAnother = (cluster: string, owner: number): ServiceError =>
  new ServiceError(
    'unavailable',
    'postgres_cluster_of_another_user',
    `The database in ${cluster} belongs to user id ${owner}, so this user cannot run it. ` +
      'Start the service as that user or as root, choose another data directory, or set DATABASE_URL.',
  );
