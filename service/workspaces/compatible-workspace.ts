import { repositoryOf } from '../broker/repository.ts';
import type { BuildParameters } from '../coder/template-bounds.ts';
import type { CoderWorkspace } from '../coder/coder.ts';
import { workspaceStatus } from './workspace.ts';

/** What the owner chose, as the form of our templates names it. */
const parameters = { repository: 'git_repository', ref: 'git_ref', nix: 'nix_config' } as const;

/**
 * A workspace in the literal keys of `/api/workspaces`, with Coder's own word beside `status`.
 *
 * Null   what nobody said: a field of the form that was left empty or that the template lacks; `description` and
 *        `containerId` always, because Coder has no such field of a workspace.
 */
export const presentCompatible = (workspace: CoderWorkspace, chosen: BuildParameters) => ({
  id: workspace.id,
  name: workspace.name,
  description: null,
  containerId: null,
  status: workspaceStatus(workspace.status),
  build_status: workspace.status,
  githubRepo: addressOf(chosen.get(parameters.repository) ?? ''),
  githubBranch: chosen.get(parameters.ref) || null,
  nixConfig: chosen.get(parameters.nix) || null,
  template: workspace.templateName,
  userId: workspace.ownerId,
  lastAccessedAt: workspace.lastUsedAt ?? null,
});

/** Rebuilt from its parts, so that nothing a person typed into an address beside them is repeated. */
function addressOf(address: string): string | null {
  const repository = repositoryOf(address.trim());
  return repository && `https://${repository.host}/${repository.path}`;
}
