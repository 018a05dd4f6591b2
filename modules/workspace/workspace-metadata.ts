import type { Construct } from 'constructs';
import { explain } from '../hcl/comment.ts';
import { interpolation } from '../hcl/expressions.ts';
import { Metadata } from '../providers/generated/coder/metadata/index.ts';
import type { WorkspaceContext } from './workspace-context.ts';

/** Shows facts on a resource in Coder's page. Nothing secret: every reader of the workspace sees them in clear. */
export function resourceFacts(
  scope: Construct,
  context: WorkspaceContext,
  id: string,
  resourceAddress: string,
  facts: Readonly<Record<string, string>>,
): Metadata {
  const made = new Metadata(scope, `metadata:${id}`, {
    count: context.startCount,
    resourceId: interpolation(`${resourceAddress}[0].id`),
    item: Object.entries(facts).map(([key, value]) => ({ key, value })),
  });
  explain(made, 'What Coder shows of the workspace; everybody who may see it reads this.');
  return made;
}

/** Keeps a helper out of Coder's page. */
export function hideResource(
  scope: Construct,
  context: WorkspaceContext,
  id: string,
  resourceAddress: string,
): Metadata {
  return new Metadata(scope, `metadata:${id}`, {
    count: context.startCount,
    resourceId: interpolation(`${resourceAddress}[0].id`),
    hide: true,
  });
}
