import type { Workspace } from 'coder-sdk-ts';
import { storableText } from '../platform/storable.ts';

export interface CoderWorkspaceAgent {
  readonly id: string;
  readonly name: string;
  /** connecting, connected, disconnected, timeout */
  readonly status: string;
  /** created, starting, ready, start_error, … */
  readonly lifecycleState: string;
}

export interface CoderWorkspace {
  readonly id: string;
  readonly name: string;
  readonly ownerId: string;
  readonly ownerName: string;
  readonly organizationId: string;
  readonly organizationName: string;
  readonly templateName: string;
  /** Coder's word: pending, starting, running, stopping, stopped, failed, canceling, canceled, deleting, deleted. */
  readonly status: string;
  /** What the latest build does: start, stop, delete. */
  readonly transition: string;
  /** pending, running, succeeded, canceling, canceled, failed */
  readonly jobStatus: string;
  readonly buildId: string;
  /** The version that the latest build was made from, which need not be the active one. */
  readonly templateVersionId: string;
  /** Of the latest build; empty until its job has succeeded. Ids change with every build. */
  readonly agents: readonly CoderWorkspaceAgent[];
  /** When somebody last used it, as Coder writes times; missing where Coder does not say. */
  readonly lastUsedAt?: string;
}

export function toWorkspace(workspace: Workspace): CoderWorkspace {
  const build = workspace.latest_build;
  const agents = (build.resources ?? []).flatMap((resource) => resource.agents ?? []);
  return {
    id: workspace.id,
    name: workspace.name,
    ownerId: workspace.owner_id,
    ownerName: workspace.owner_name,
    organizationId: workspace.organization_id,
    organizationName: workspace.organization_name,
    templateName: workspace.template_name,
    status: build.status,
    transition: build.transition,
    jobStatus: build.job.status,
    buildId: build.id,
    templateVersionId: build.template_version_id,
    agents: agents.map(({ id, name, status, lifecycle_state }) => ({
      id,
      name,
      status,
      lifecycleState: lifecycle_state,
    })),
    ...(workspace.last_used_at ? { lastUsedAt: workspace.last_used_at } : {}),
  };
}

/** What to do about a workspace that should run. */
export type StartDecision = 'running' | 'starting' | 'start' | { readonly refused: string };

/** Everything that is neither running, on its way, nor plainly stopped is left to a person. */
const refusals: Readonly<Record<string, string>> = {
  stopping: 'is stopping. Wait until it has stopped, then try again',
  failed: "'s last build failed. Look at its build log in Coder and start it there",
  canceling: "'s build is being canceled. Start it in Coder when that has ended",
  canceled: "'s last build was canceled. Start it in Coder",
  deleting: 'is being deleted. Choose another one',
  deleted: 'was deleted. Choose another one',
};

/**
 * Looks before anything is started.
 *
 * Safety  only a stopped workspace is started: `start` on a running one replaces its containers, and
 *         whatever runs there dies.
 */
export function decideStart(
  workspace: Pick<CoderWorkspace, 'name' | 'status' | 'transition'> & { readonly error?: string | null | undefined },
): StartDecision {
  const { status, transition, error } = workspace;
  if (status === 'running' || status === 'starting') return status;
  if (status === 'pending' && transition === 'start') return 'starting';
  if (status === 'stopped') return 'start';
  const why = refusals[status] ?? `is in the state ${status}. Start it in Coder`;
  const said = error ? ` Coder says: ${shortened(error)}` : '';
  return { refused: `Workspace ${workspace.name}${why.startsWith("'") ? '' : ' '}${why}.${said}` };
}

/** An error of Terraform may be pages long; its first lines name the fault. */
const mostErrorLetters = 2_000;
const shortened = (text: string): string =>
  storableText(text.length <= mostErrorLetters ? text : `${text.slice(0, mostErrorLetters)} …`);
