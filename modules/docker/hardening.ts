import type { ContainerConfig } from '@cdktf/provider-docker/lib/container/index.js';

/** User and group of every container; group 0 is what images for arbitrary user ids are made for. */
export const containerUser = '1000:0';

/**
 * What no container of ours goes without: no root, no capability, no way to gain either, no life of its own.
 *
 * Docker's default seccomp profile stays in force because no security option replaces it.
 */
export const hardened = {
  user: containerUser,
  privileged: false,
  capabilities: { drop: ['ALL'] },
  securityOpts: ['no-new-privileges:true'],
  restart: 'no',
} as const satisfies Partial<ContainerConfig>;

/** Hard limits. Swap is set equal to memory, or a container could take as much again. */
export function limits(memoryMib: number, cpus: string) {
  return { memory: memoryMib, memorySwap: memoryMib, cpus };
}
