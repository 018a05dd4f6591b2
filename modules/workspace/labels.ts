import { names } from '../contract.ts';
import type { WorkspaceContext } from './workspace-context.ts';

export interface Label {
  readonly label: string;
  readonly value: string;
}

/** Labels of a Docker container or network: Coder's own, so that orphans can be found, and ours. */
export function containerLabels(context: WorkspaceContext, container: string): Label[] {
  return [
    ...ownerLabels(context),
    { label: 'coder.workspace_name', value: context.workspace.name },
    { label: `${names.labelPrefix}workspace-id`, value: context.workspace.id },
    { label: `${names.labelPrefix}container`, value: container },
  ];
}

/** Labels of a Docker volume. A volume outlives a rename, so the name is that of its creation. */
export function volumeLabels(context: WorkspaceContext, part: string): Label[] {
  return [
    ...ownerLabels(context),
    { label: 'coder.workspace_name_at_creation', value: context.workspace.name },
    { label: `${names.labelPrefix}workspace-id`, value: context.workspace.id },
    { label: `${names.labelPrefix}volume`, value: part },
  ];
}

function ownerLabels(context: WorkspaceContext): Label[] {
  return [
    { label: 'coder.owner', value: context.owner.name },
    { label: 'coder.owner_id', value: context.owner.id },
    { label: 'coder.workspace_id', value: context.workspace.id },
  ];
}
