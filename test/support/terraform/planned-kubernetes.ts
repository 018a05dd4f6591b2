import { kubernetesSchema } from '../../../modules/hcl/schemas/index.ts';
import type { Plan, PlannedResource } from './docker-template.ts';
import type { Block, FakeSchema } from './schema-messages.ts';

/**
 * Planned `kubernetes_*` values as the manifests that the provider would send.
 *
 * Provider and API have the same fields under two spellings, so names are translated and nothing is added. What only
 * an apply knows (the agent's script, token and ids) is null in a plan, and the caller puts stand-ins there.
 */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Record<string, unknown>;
  readonly [part: string]: unknown;
}

const kinds: Readonly<Record<string, readonly [apiVersion: string, kind: string]>> = {
  kubernetes_deployment_v1: ['apps/v1', 'Deployment'],
  kubernetes_network_policy_v1: ['networking.k8s.io/v1', 'NetworkPolicy'],
  kubernetes_persistent_volume_claim_v1: ['v1', 'PersistentVolumeClaim'],
};

/** Blocks that the API spells in the plural. */
const plurals: Readonly<Record<string, string>> = {
  container: 'containers',
  init_container: 'initContainers',
  volume: 'volumes',
  volume_mount: 'volumeMounts',
  toleration: 'tolerations',
  port: 'ports',
};

const acronyms: Readonly<Record<string, string>> = { host_ipc: 'hostIPC', host_pid: 'hostPID' };

/** Numbers that the provider keeps as text. */
const numbers = new Set(['replicas', 'run_as_user', 'run_as_group', 'fs_group', 'port']);

const schemas = (kubernetesSchema.provider_schemas['hashicorp/kubernetes'] as FakeSchema).resource_schemas ?? {};

/** Manifests of everything in a plan but Secrets, whose data no plan knows. */
export function manifestsOf(plan: Plan): readonly Manifest[] {
  return (plan.planned_values.root_module.resources ?? []).flatMap((resource) => {
    const kind = kinds[resource.type];
    return kind === undefined ? [] : [manifest(resource, kind)];
  });
}

function manifest({ type, values }: PlannedResource, [apiVersion, kind]: readonly [string, string]): Manifest {
  const { metadata, spec } = translate(schemas[type]?.block ?? {}, values);
  return { apiVersion, kind, metadata: metadata as Record<string, unknown>, spec };
}

type Values = Readonly<Record<string, unknown>>;

function translate(block: Block, values: Values): Record<string, unknown> {
  const translated: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(values)) {
    const nested = block.block_types?.[name];
    if (nested !== undefined && Array.isArray(value)) {
      const inner = (value as Values[]).map((one) => translate(nested.block, one));
      if (inner.length > 0) translated[plurals[name] ?? camelCase(name)] = nested.max_items === 1 ? inner[0] : inner;
    } else if (nested === undefined && value !== null) {
      translated[acronyms[name] ?? camelCase(name)] = numbers.has(name) ? Number(value) : value;
    }
  }
  return translated;
}

function camelCase(name: string): string {
  return name.replace(/_([a-z])/g, (_match, letter: string) => letter.toUpperCase());
}
