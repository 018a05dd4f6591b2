import { SecretV1 } from '@cdktf/provider-kubernetes/lib/secret-v1/index.js';
import type { Construct } from 'constructs';
import { explain } from '../hcl/comment.ts';
import { interpolation } from '../hcl/expressions.ts';
import type { ContainerSpec } from '../workspace/container.ts';
import type { WorkspaceContext } from '../workspace/workspace-context.ts';
import { labels } from './kubernetes-labels.ts';

/**
 * What the containers must know and the pod's description must not show.
 *
 * One Secret for each build, because a build has an agent token of its own; a container is given its own keys only.
 */
export function workspaceSecret(
  scope: Construct,
  context: WorkspaceContext,
  namespace: string,
  containers: readonly ContainerSpec[],
): SecretV1 {
  const made = new SecretV1(scope, 'secret:workspace', {
    count: context.startCount,
    metadata: { name: context.persistentName(), namespace: interpolation(namespace), labels },
    data: Object.assign({}, ...containers.map(({ secrets }) => secrets)) as Record<string, string>,
  });
  explain(
    made,
    'Made anew by each build, as the token is. Worker and agent each get their own keys of it, and no more.',
  );
  return made;
}
