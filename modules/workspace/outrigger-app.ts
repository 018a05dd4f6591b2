import type { TerraformVariable } from 'cdktf';
import type { Construct } from 'constructs';
import { names } from '../contract.ts';
import { explain } from '../hcl/comment.ts';
import type { Agent } from '../providers/generated/coder/agent/index.ts';
import { App as CoderApp } from '../providers/generated/coder/app/index.ts';
import type { WorkspaceContext } from './workspace-context.ts';

/** Opens the workspace's page of Outrigger: its tasks, its questions and what they cost. It is a link, and no proxy. */
export function outriggerApp(
  scope: Construct,
  agent: Agent,
  context: WorkspaceContext,
  outriggerUrl: TerraformVariable,
): CoderApp {
  const app = new CoderApp(scope, `app:${names.apps.outrigger}`, {
    agentId: agent.id,
    slug: names.apps.outrigger,
    displayName: 'Outrigger',
    icon: '/icon/widgets.svg',
    order: 3,
    external: true,
    url: `${outriggerUrl.stringValue}/workspace/${context.workspace.id}`,
  });
  explain(app, 'A link to the page of this workspace in Outrigger, where people sign in with Coder.');
  return app;
}
