import { paths } from '../contract.ts';
import type { ContainerSpec } from './container.ts';
import type { Fact } from './workspace-agent.ts';

/** What a workspace says about its isolation beyond a container, and proves from inside before an agent starts. */
export interface RuntimeClaim {
  /** What `/tools/runtime-proof` reads: the claim, and what the admin knows about the nodes. */
  readonly environment: Readonly<Record<string, string>>;
}

const proof = `${paths.tools}/runtime-proof`;

/** The same command, which starts only once the claim is proven: a refusal says why and ends with 1. */
export function onceProven(command: readonly string[], claim: RuntimeClaim | undefined): readonly string[] {
  return claim === undefined ? command : ['sh', '-c', `${proof} check && exec "$0" "$@"`, ...command];
}

/** A container that knows the claim, so that whatever runs in it can prove it. */
export function claiming(spec: ContainerSpec, claim: RuntimeClaim | undefined): ContainerSpec {
  return claim === undefined ? spec : { ...spec, environment: { ...spec.environment, ...claim.environment } };
}

/** What the workspace's page shows of the proof; each is measured anew, so a claim that stops holding is seen. */
export const proofFacts: readonly Fact[] = [
  { key: 'kernel', displayName: 'Kernel', script: `${proof} kernel`, intervalSeconds: 600 },
  { key: 'hypervisor', displayName: 'Isolation', script: `${proof} hypervisor`, intervalSeconds: 600 },
  { key: 'verified_at', displayName: 'Isolation proven', script: `${proof} verified_at`, intervalSeconds: 600 },
];
