import type { CoderWorkspace } from '../coder/coder.ts';
import { names } from '../../modules/contract.ts';
import type { IdeStatus } from './ide.ts';

export type WorkspaceStatus = 'STOPPED' | 'STARTING' | 'RUNNING' | 'STOPPING' | 'ERROR';

/** From every word that Coder has for its latest build. */
const statuses: Readonly<Record<string, WorkspaceStatus>> = {
  pending: 'STARTING',
  starting: 'STARTING',
  running: 'RUNNING',
  stopping: 'STOPPING',
  canceling: 'STOPPING',
  deleting: 'STOPPING',
  stopped: 'STOPPED',
  deleted: 'STOPPED',
  canceled: 'ERROR',
  failed: 'ERROR',
};

export const workspaceStatus = (buildStatus: string): WorkspaceStatus => statuses[buildStatus] ?? 'ERROR';

/** What the service knows of the bridge in a workspace. */
export interface BridgePresence {
  readonly connected: boolean;
  readonly harnessVersion: string;
  readonly lastSeenAt: Date;
}

/** Where Coder serves the IDE, by path, which needs no wildcard host. */
export const ideUrl = (coderUrl: string, workspace: Pick<CoderWorkspace, 'ownerName' | 'name'>): string =>
  `${coderUrl.replace(/\/+$/, '')}/@${encodeURIComponent(workspace.ownerName)}/` +
  `${encodeURIComponent(workspace.name)}.${names.workspaceAgent}/apps/${names.apps.ide}/`;

interface Seen {
  readonly workspace: CoderWorkspace;
  readonly ide: IdeStatus;
  readonly coderUrl: string;
}

const urlOf = ({ workspace, ide, coderUrl }: Seen): { ideURL?: string } =>
  ide.phase === 'Ready' ? { ideURL: ideUrl(coderUrl, workspace) } : {};

/** The status of an IDE, in the literal keys that clients know. */
export const presentIdeStatus = (seen: Seen) => ({
  ...urlOf(seen),
  idePhase: seen.ide.phase,
  ideMessage: seen.ide.message,
});

/** The reply to a change of it. */
export const presentIdeReply = (seen: Seen) => ({ ...urlOf(seen), phase: seen.ide.phase });

export const presentWorkspace = (seen: Seen & { readonly bridge: BridgePresence | null }) => ({
  id: seen.workspace.id,
  name: seen.workspace.name,
  owner_id: seen.workspace.ownerId,
  owner_name: seen.workspace.ownerName,
  organization_id: seen.workspace.organizationId,
  organization_name: seen.workspace.organizationName,
  template_name: seen.workspace.templateName,
  status: workspaceStatus(seen.workspace.status),
  build_status: seen.workspace.status,
  bridge: seen.bridge && {
    connected: seen.bridge.connected,
    harness_version: seen.bridge.harnessVersion,
    last_seen_at: seen.bridge.lastSeenAt.toISOString(),
  },
  ideEnabled: seen.ide.enabled,
  ...presentIdeStatus(seen),
});
