import type { TerraformVariable } from 'cdktf';
import type { Construct } from 'constructs';
import { names, paths } from '../contract.ts';
import type { Agent } from '../providers/generated/coder/agent/index.ts';
import { App as CoderApp } from '../providers/generated/coder/app/index.ts';
import type { WorkspaceContext } from './workspace-context.ts';

/** Joins the running attempt's session from a terminal of the worker. */
export function openCodeApp(scope: Construct, agent: Agent): CoderApp {
  return new CoderApp(scope, `app:${names.apps.opencode}`, {
    agentId: agent.id,
    slug: names.apps.opencode,
    displayName: 'OpenCode',
    icon: '/icon/opencode.svg',
    order: 1,
    command: `${paths.tools}/attach`,
  });
}

/** Opens the workspace's page of Outrigger. */
export function outriggerApp(
  scope: Construct,
  agent: Agent,
  context: WorkspaceContext,
  outriggerUrl: TerraformVariable,
): CoderApp {
  return new CoderApp(scope, `app:${names.apps.outrigger}`, {
    agentId: agent.id,
    slug: names.apps.outrigger,
    displayName: 'Outrigger',
    icon: '/icon/widgets.svg',
    order: 2,
    external: true,
    url: `${outriggerUrl.stringValue}/workspace/${context.workspace.id}`,
  });
}
