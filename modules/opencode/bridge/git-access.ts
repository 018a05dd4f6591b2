import { textOf, type Log } from './log.ts';

/** A repository that the service reaches for the running task. */
export interface GitAccess {
  /** `<host>/<path>`, without `.git`. */
  readonly repository: string;
  readonly mayPush: boolean;
}

const askMs = 10_000;

/** Asks the service what it reaches for a task; nothing where it does not say so: then the work stays local. */
export async function askForAccess(parts: {
  readonly serviceUrl: string;
  readonly taskToken: string;
  readonly log: Log;
}): Promise<readonly GitAccess[]> {
  try {
    const answer = await fetch(`${parts.serviceUrl}/git/access`, {
      headers: { authorization: `Bearer ${parts.taskToken}` },
      signal: AbortSignal.timeout(askMs),
      redirect: 'error',
    });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    return readAccess(await answer.json());
  } catch (error) {
    parts.log('warn', 'the service did not say which repositories it reaches; work stays on its local branch', {
      error: textOf(error),
    });
    return [];
  }
}

function readAccess(answer: unknown): GitAccess[] {
  const { items } = answer as { items?: unknown };
  return (Array.isArray(items) ? (items as Record<string, unknown>[]) : []).flatMap((item) =>
    typeof item['repository'] === 'string' && /^[^/\s]+(\/[^/\s]+)+$/.test(item['repository'])
      ? [{ repository: item['repository'], mayPush: item['may_push'] === true }]
      : [],
  );
}

/** Every way in which people write the address of a repository, without its end. */
function addressesOf(repository: string): string[] {
  const [host = '', ...path] = repository.split('/');
  return [`https://${repository}`, `http://${repository}`, `ssh://git@${repository}`, `git@${host}:${path.join('/')}`];
}

/**
 * Settings with which git reaches these repositories over the relay, under the addresses that people know.
 *
 * Trap     git compares beginnings: `acme/app` also stands for `acme/app-two`, which the service then refuses.
 */
export const relaySettings = (relayUrl: string, access: readonly GitAccess[]): (readonly [string, string])[] =>
  access.flatMap(({ repository }) =>
    addressesOf(repository).map((address) => [`url.${relayUrl}/${repository}.insteadOf`, address] as const),
  );

/** The repository behind a remote's address, if the service reaches it. */
export function accessTo(remote: string, access: readonly GitAccess[]): GitAccess | undefined {
  const plain = remote
    .trim()
    .replace(/\/+$/, '')
    .replace(/\.git$/, '')
    .toLowerCase();
  return access.find(({ repository }) => addressesOf(repository).some((address) => address.toLowerCase() === plain));
}

/** Whether `REPOS_JSON` keeps the work in a repository from being pushed; what it does not name is pushed. */
export function isPushedByHand(remote: string, reposJson: string | undefined): boolean {
  try {
    const list = JSON.parse(reposJson ?? '[]') as { url?: unknown; autoPush?: unknown }[];
    return list.some(
      ({ url, autoPush }) => autoPush === false && typeof url === 'string' && plain(url) === plain(remote),
    );
  } catch {
    return false;
  }
}

const plain = (address: string): string =>
  address
    .trim()
    .replace(/\/+$/, '')
    .replace(/\.git$/, '')
    .toLowerCase();
