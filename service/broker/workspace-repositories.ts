import type { Coder } from '../coder/coder.ts';
import type { TaskIdentity } from '../gateway/gateway.ts';
import type { Clock } from '../platform/clock.ts';
import { isSame, repositoryOf, type Repository } from './repository.ts';

/** What the owner chose for a workspace, as the form of our templates names it. */
const parameters = { one: 'git_repository', more: 'more_repositories' } as const;

/** A build does not change, but the workspace may get another one. */
const believeMs = 30_000;
const mostRemembered = 2_000;

/** Answers the repositories of a task's workspace. */
export type RepositoriesOf = (
  of: Pick<TaskIdentity, 'workspaceId'>,
  requestId: string,
) => Promise<readonly Repository[]>;

/**
 * Asks Coder which repositories a workspace was built for, because whoever asks here lives in it and could name any.
 *
 * Errors   what Coder's calls throw; `unavailable` is passed on, so that an unknown list is never taken for an open one.
 */
export function makeRepositoriesOf(parts: {
  readonly coder: Pick<Coder, 'readWorkspace' | 'buildParameters'>;
  readonly clock: Clock;
}): RepositoriesOf {
  const known = new Map<string, { readonly list: readonly Repository[]; readonly until: number }>();
  return async ({ workspaceId }, requestId) => {
    const now = parts.clock.now().getTime();
    const found = known.get(workspaceId);
    if (found && found.until > now) return found.list;
    const context = { actor: 'service', requestId };
    const workspace = await parts.coder.readWorkspace(workspaceId, context);
    const list = workspace ? listOf(await parts.coder.buildParameters(workspace.buildId, context)) : [];
    if (known.size >= mostRemembered) known.clear();
    known.set(workspaceId, { list, until: now + believeMs });
    return list;
  };
}

/** The repositories in a build's parameters, each once; what the broker cannot reach is left out. */
export function listOf(values: ReadonlyMap<string, string>): readonly Repository[] {
  const addresses = [values.get(parameters.one) ?? '', ...addressesIn(values.get(parameters.more) ?? '[]')];
  const list: Repository[] = [];
  for (const address of addresses) {
    const repository = repositoryOf(address.trim());
    if (repository && !list.some((one) => isSame(one, repository))) list.push(repository);
  }
  return list;
}

/** A list of addresses, each with or without `#branch` and further words, or of `REPOS_JSON`'s objects with an address in each. */
function addressesIn(text: string): string[] {
  try {
    const value = JSON.parse(text) as unknown;
    return (Array.isArray(value) ? (value as unknown[]) : []).flatMap((one) => {
      if (typeof one === 'string') return one.split(/[#\s]/, 1);
      return typeof one === 'object' && one !== null && 'url' in one && typeof one.url === 'string' ? [one.url] : [];
    });
  } catch {
    return [];
  }
}
