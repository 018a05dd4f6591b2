import { NamespaceV1 } from '@cdktf/provider-kubernetes/lib/namespace-v1/index.js';
import { ResourceQuotaV1 } from '@cdktf/provider-kubernetes/lib/resource-quota-v1/index.js';
import { TerraformLocal } from 'cdktf';
import type { Construct } from 'constructs';
import { explain } from '../hcl/comment.ts';
import { expression, interpolation } from '../hcl/expressions.ts';
import type { WorkspaceContext } from '../workspace/workspace-context.ts';
import { labels, labelsAnd } from './kubernetes-labels.ts';

/** Digits of the workspace's id in the name of its own namespace: two that are equal end in a refusal, not in sharing. */
export const shortIdDigits = 12;

const shortId = (context: WorkspaceContext): string =>
  `substr(replace(${context.workspace.fqn}.id, "-", ""), 0, ${String(shortIdDigits)})`;

/**
 * Where a workspace lives: a namespace that is there, the owner's own, or one made for this workspace alone.
 *
 * Only the last can be made here: two workspaces cannot both own one namespace. It is kept while the workspace is
 * stopped, because the claims are in it.
 */
export function workspaceNamespace(scope: Construct, context: WorkspaceContext): void {
  const own = new NamespaceV1(scope, 'namespace:workspace', {
    metadata: {
      name: `\${local.namespace_name}-\${${shortId(context)}}`,
      labels: labelsAnd({ 'pod-security.kubernetes.io/enforce': 'restricted' }),
    },
    timeouts: { delete: '10m' },
    lifecycle: { ignoreChanges: 'all' },
  });
  explain(
    own,
    'Only where the admin wants one for each workspace. It holds the claims, so it stays while the workspace is stopped.',
  );
  own.addOverride('count', interpolation('var.create_namespace ? 1 : 0'));
  new TerraformLocal(
    scope,
    'local:namespace_name',
    expression(`replace(var.namespace, "{owner}", lower(${context.owner.fqn}.name))`),
  );
  new TerraformLocal(
    scope,
    'local:namespace',
    expression(`var.create_namespace ? ${own.fqn}[0].metadata[0].name : local.namespace_name`),
  );
  const quota = new ResourceQuotaV1(scope, 'quota:workspace', {
    metadata: { name: context.persistentName(), namespace: interpolation('local.namespace'), labels },
    spec: { hard: interpolation('var.quota') as unknown as Record<string, string> },
  });
  quota.addOverride('count', interpolation('length(var.quota) > 0 ? 1 : 0'));
}
