import { Container } from '@cdktf/provider-docker/lib/container/index.js';
import { Network } from '@cdktf/provider-docker/lib/network/index.js';
import type { Construct } from 'constructs';
import { bridgeEnvironment, names, paths } from '../contract.ts';
import { explain } from '../hcl/comment.ts';
import { interpolation } from '../hcl/expressions.ts';
import { containerLabels } from '../workspace/labels.ts';
import { egressWhen } from '../workspace/egress-container.ts';
import type { WorkspaceContext } from '../workspace/workspace-context.ts';
import { hardened, limits } from './hardening.ts';

/**
 * A network of the workspace's own, and the tiny container that owns its namespace and hostname.
 *
 * Worker and sidecar join that container instead of each other: when one of them restarts outside Terraform, the
 * other keeps its network.
 */
export class WorkspaceNetwork {
  readonly owner: Container;
  /** Name of the network, as a Terraform string. */
  readonly network: string;

  constructor(scope: Construct, context: WorkspaceContext) {
    const network = new Network(scope, 'network:workspace', {
      count: context.startCount,
      name: context.persistentName(),
      driver: 'bridge',
      internal: interpolation(egressWhen) as unknown as boolean,
      // Without it the host itself has an address in there, with whatever listens on it.
      options: interpolation(
        `${egressWhen} ? { "com.docker.network.bridge.inhibit_ipv4" = "true" } : {}`,
      ) as unknown as Record<string, string>,
    });
    network.addOverride('dynamic.labels', [containerLabels(context, names.containers.network)]);
    explain(
      network,
      'A network of this workspace alone: no other workspace is in it, and no port is published. Unless egress is open it\nleads nowhere but to the proxy; not even the host has an address in it.',
    );
    this.network = interpolation(`${network.fqn}[0].name`);
    this.owner = new Container(scope, `container:${names.containers.network}`, {
      ...hardened,
      ...limits(64, '0.25'),
      count: context.startCount,
      name: context.containerName(names.containers.network),
      // Any image with `sleep` would do; this one is there anyway.
      image: interpolation('var.opencode_image'),
      hostname: context.workspace.name,
      entrypoint: ['sleep', 'infinity'],
      env: [`${bridgeEnvironment.workspaceDir}=${paths.workspace}`],
      init: true,
      readOnly: true,
      networksAdvanced: [{ name: this.network }],
      // Docker's own name server asks outside on behalf of an internal network, before 26 (CVE-2024-29018); from an
      // address that belongs to nobody (RFC 5737) no answer comes, and names inside are answered all the same.
      dns: interpolation(`${egressWhen} ? ["192.0.2.1"] : null`) as unknown as string[],
      host: [{ host: 'host.docker.internal', ip: 'host-gateway' }],
    });
    this.owner.addOverride('dynamic.labels', [containerLabels(context, names.containers.network)]);
    explain(
      this.owner,
      'Owns the network namespace and the hostname. Worker and agent join it instead of each other, so that one of\nthem can restart without cutting off the other.',
    );
  }

  /** `network_mode` of a container that joins. Replacing the owner replaces everybody who joined. */
  get mode(): string {
    return `container:\${${this.owner.fqn}[0].id}`;
  }
}
