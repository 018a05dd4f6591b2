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
  kubernetes_ingress_v1: ['networking.k8s.io/v1', 'Ingress'],
  kubernetes_namespace_v1: ['v1', 'Namespace'],
  kubernetes_network_policy_v1: ['networking.k8s.io/v1', 'NetworkPolicy'],
  kubernetes_persistent_volume_claim_v1: ['v1', 'PersistentVolumeClaim'],
  kubernetes_pod_disruption_budget_v1: ['policy/v1', 'PodDisruptionBudget'],
  kubernetes_resource_quota_v1: ['v1', 'ResourceQuota'],
  kubernetes_service_v1: ['v1', 'Service'],
  kubernetes_stateful_set_v1: ['apps/v1', 'StatefulSet'],
};

/** Blocks that the API spells in the plural, where there may be more than one. */
const plurals: Readonly<Record<string, string>> = {
  container: 'containers',
  init_container: 'initContainers',
  volume: 'volumes',
  volume_mount: 'volumeMounts',
  volume_claim_template: 'volumeClaimTemplates',
  toleration: 'tolerations',
  topology_spread_constraint: 'topologySpreadConstraints',
  port: 'ports',
  rule: 'rules',
  path: 'paths',
};

/** Blocks whose schema would allow several, of which the API has one. */
const single = new Set(['label_selector', 'rolling_update']);

const acronyms: Readonly<Record<string, string>> = { host_ipc: 'hostIPC', host_pid: 'hostPID' };

/** Numbers that the provider keeps as text; some may be a name instead. */
const numbers = new Set([
  'replicas',
  'run_as_user',
  'run_as_group',
  'fs_group',
  'port',
  'target_port',
  'max_unavailable',
  'max_surge',
]);

const schemas = (kubernetesSchema.provider_schemas['hashicorp/kubernetes'] as FakeSchema).resource_schemas ?? {};

/** Manifests of everything in a plan but Secrets, whose data no plan knows. */
export function manifestsOf(plan: Pick<Plan, 'planned_values'>): readonly Manifest[] {
  return (plan.planned_values.root_module.resources ?? []).flatMap((resource) => {
    const kind = kinds[resource.type];
    return kind === undefined ? [] : [manifest(resource, kind)];
  });
}

function manifest({ type, values }: PlannedResource, [apiVersion, kind]: readonly [string, string]): Manifest {
  const { metadata, spec } = translate(schemas[type]?.block ?? {}, values);
  return { apiVersion, kind, metadata: metadata as Record<string, unknown>, ...(spec === undefined ? {} : { spec }) };
}

type Values = Readonly<Record<string, unknown>>;

function translate(block: Block, values: Values): Record<string, unknown> {
  const translated: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(values)) {
    const nested = block.block_types?.[name];
    if (nested !== undefined && Array.isArray(value)) {
      const inner = (value as Values[]).map((one) => translate(nested.block, one));
      const isOne = nested.max_items === 1 || single.has(name);
      if (inner.length > 0)
        translated[isOne ? camelCase(name) : (plurals[name] ?? camelCase(name))] = isOne ? inner[0] : inner;
    } else if (nested === undefined && value !== null) {
      translated[acronyms[name] ?? camelCase(name)] = translateValue(name, value);
    }
  }
  return translated;
}

function translateValue(name: string, value: unknown): unknown {
  if (name === 'default_mode') return Number.parseInt(String(value), 8);
  return numbers.has(name) && /^\d+$/.test(String(value)) ? Number(value) : value;
}

function camelCase(name: string): string {
  return name.replace(/_([a-z])/g, (_match, letter: string) => letter.toUpperCase());
}
