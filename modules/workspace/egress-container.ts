import { bridgeEnvironment, egressEnvironment, names, paths } from '../contract.ts';
import { interpolation } from '../hcl/expressions.ts';
import type { Agent } from '../providers/generated/coder/agent/index.ts';
import type { ContainerSpec } from './container.ts';
import { egressProof } from './registration-proof.ts';
import type { WorkspaceContext } from './workspace-context.ts';

/** Expression of when there is a proxy at all. */
export const egressWhen = 'var.egress != "open"';

/**
 * The one door of a workspace: it stands outside of the network that worker and agent are in.
 *
 * Its image is the first that the admin offers and never one that an owner named, because whoever makes the image of a
 * proxy decides what it lets through. `coderUrl` is an HCL expression.
 */
export function egressContainer(context: WorkspaceContext, agent: Agent, coderUrl: string): ContainerSpec {
  return {
    name: names.containers.egress,
    image: interpolation('var.executor_images[0]'),
    command: [paths.enter, paths.opencode, paths.egress],
    environment: {
      BUN_BE_BUN: '1',
      [bridgeEnvironment.toolsDir]: paths.tools,
      [bridgeEnvironment.workspaceDir]: paths.workspace,
      CUSTOM_CA_CERT_PATH: `${paths.customCa}/tls.crt`,
      [egressEnvironment.mode]: interpolation('var.egress'),
      [egressEnvironment.hosts]: interpolation('join(",", local.egress_hosts)'),
      [egressEnvironment.privateRanges]: interpolation('join(",", var.egress_private_cidrs)'),
      [egressEnvironment.url]: interpolation('var.outrigger_url'),
      [egressEnvironment.coderUrl]: interpolation(coderUrl),
      [egressEnvironment.workspaceId]: context.workspace.id,
      [egressEnvironment.workspaceAgentId]: agent.id,
    },
    secrets: {
      [egressEnvironment.proof]: egressProof({
        workspaceId: `${context.workspace.fqn}.id`,
        ownerId: `${context.owner.fqn}.id`,
        workspaceAgentId: `${agent.fqn}.id`,
      }),
    },
    limits: { cpu: '0.5', memoryMb: '256' },
    requests: { cpu: '0.05', memoryMb: '96' },
    mounts: [
      { volume: 'tools', readOnly: true },
      { volume: 'custom-ca', readOnly: true },
    ],
    workingDir: '/',
    graceSeconds: 10,
    isRootReadOnly: true,
    when: egressWhen,
    hasInit: false,
  };
}
