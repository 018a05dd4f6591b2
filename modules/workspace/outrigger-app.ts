import type { Construct } from 'constructs';
import { names } from '../contract.ts';
import { explain } from '../hcl/comment.ts';
import { interpolation } from '../hcl/expressions.ts';
import type { Agent } from '../providers/generated/coder/agent/index.ts';
import { App as CoderApp } from '../providers/generated/coder/app/index.ts';
import type { WorkspaceContext } from './workspace-context.ts';

/**
 * Opens a page about the workspace, where the admin says that there is one. It is a link, and no proxy.
 *
 * The service itself answers no page, and its address may be one that only workspaces reach.
 */
export function outriggerApp(scope: Construct, agent: Agent, context: WorkspaceContext): CoderApp {
  const app = new CoderApp(scope, `app:${names.apps.outrigger}`, {
    agentId: agent.id,
    slug: names.apps.outrigger,
    displayName: 'Outrigger',
    icon: '/icon/widgets.svg',
    order: 3,
    external: true,
    url: `${interpolation('var.outrigger_page_url')}/workspace/${context.workspace.id}`,
  });
  app.addOverride('count', interpolation('var.outrigger_page_url == "" ? 0 : 1'));
  explain(app, 'A link to the page of this workspace, where the admin gave the address of one.');
  return app;
}
