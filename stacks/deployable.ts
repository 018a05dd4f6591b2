import type { Construct } from 'constructs';
import type { DeployableStack } from '../modules/service/deployable-stack.ts';
import type { StateBackend } from '../modules/service/state-backend.ts';
import { CoderCatalog } from './coder-catalog.ts';
import { DockerService } from './docker-service.ts';
import { KubernetesService } from './kubernetes-service.ts';

/** One stack that `cdktf deploy` may apply. */
export interface DeployableEntry {
  readonly name: string;
  readonly stack: (scope: Construct, name: string, backend: StateBackend) => DeployableStack;
  /** True where secrets cannot be kept out of the state, so that it must be encrypted. */
  readonly hasSecretState: boolean;
}

/**
 * Every stack that may be deployed.
 *
 * Templates are not here on purpose: `cdktf deploy` would apply one outside Coder.
 */
export const deployable: readonly DeployableEntry[] = [
  {
    name: 'docker-service',
    stack: (scope, name, backend) => new DockerService(scope, name, backend),
    hasSecretState: false,
  },
  {
    name: 'kubernetes-service',
    stack: (scope, name, backend) => new KubernetesService(scope, name, backend),
    hasSecretState: false,
  },
  {
    name: 'coder-catalog',
    stack: (scope, name, backend) => new CoderCatalog(scope, name, backend),
    hasSecretState: true,
  },
];

/** The variable that names the stacks to synthesize, separated by commas; without it, all that may be. */
export const stacksVariable = 'OUTRIGGER_STACKS';
