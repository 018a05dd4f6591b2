import { at } from './containers.ts';
import type { Rule, Whole } from './rule.ts';
import { blocksOf, listOf, stringsIn, type Body, type Declared } from './template.ts';

const on = (type: string, id: string, check: (body: Body, whole: Whole) => string | undefined): Rule => ({
  id,
  check: (declared, whole) => (declared.type === type ? check(declared.body, whole) : undefined),
});

const deployment = 'kubernetes_deployment_v1';
const policy = 'kubernetes_network_policy_v1';
const claim = 'kubernetes_persistent_volume_claim_v1';
const workspaceId = '${data.coder_workspace.me.id}';

/** What must hold around the pod: its Deployment, who may talk to it, and what is kept of it. */
export const clusterRules: readonly Rule[] = [
  on(deployment, 'deployment-single', (body) => {
    const spec = at(body, 'spec');
    return spec.replicas === '1' && at(spec, 'strategy').type === 'Recreate'
      ? undefined
      : 'may run two pods on one volume. Set replicas = 1 and strategy { type = "Recreate" }.';
  }),
  on(deployment, 'deployment-wait', (body) =>
    body.wait_for_rollout === false
      ? undefined
      : 'holds the build for ten minutes when its pod is refused, and ends it without the reason. Set wait_for_rollout = false.',
  ),
  on(deployment, 'selector', (body) =>
    selectsById(at(body, 'spec', 'selector').match_labels)
      ? undefined
      : 'selects its pods by something that can change. Select by com.coder.workspace.id and fixed labels only.',
  ),
  on(deployment, 'network-policy', (body, { all }) =>
    all.some((other) => other.type === policy && covers(other, podLabels(body, all)))
      ? undefined
      : 'has a pod that no NetworkPolicy selects, so everybody reaches it. Add one with the labels of its pod.',
  ),
  on(policy, 'ingress', (body) => {
    const types = listOf(at(body, 'spec').policy_types);
    const isClosed = types.includes('Ingress') && blocksOf(at(body, 'spec'), 'ingress').length === 0;
    return isClosed && types.includes('Egress')
      ? undefined
      : 'lets somebody in, or leaves a direction open. Set policy_types = ["Ingress", "Egress"] and no ingress block.';
  }),
  on(policy, 'egress', (body) => {
    const { dynamic, ...written } = at(body, 'spec');
    const always = blocksOf(written, 'egress');
    const sometimes = blocksOf((dynamic ?? {}) as Body, 'egress');
    const isOpen =
      blocksOf(at(body, 'spec'), 'egress').some((rule) => !blocksOf(rule, 'to').every((to) => isBounded(to, rule))) ||
      always.some(({ dynamic: _made, ...rule }) => !hasDestinations(rule)) ||
      sometimes.some((made) => !String(made.for_each).includes('length(') || !hasDestinations(at(made, 'content')));
    return isOpen
      ? 'lets more out than was meant: an egress rule without `to` is every address, and pods are reached for names only. Name ranges, or one namespace with port 53.'
      : undefined;
  }),
  on(policy, 'metadata-address', (body) =>
    blocksOf(at(body, 'spec'), 'egress')
      .flatMap((rule) => blocksOf(rule, 'to'))
      .flatMap((to) => blocksOf(to, 'ip_block'))
      .every(sparesMetadata)
      ? undefined
      : "reaches the cloud's metadata, which hands out credentials of the node. Put 169.254.0.0/16 into `except`.",
  ),
  on(claim, 'claim-wait', (body) =>
    body.wait_until_bound === false
      ? undefined
      : 'is waited for, but binds only when a pod uses it. Set wait_until_bound = false.',
  ),
  on('kubernetes_namespace_v1', 'namespace-security', (body) => {
    const { labels } = at(body, 'metadata');
    const pairs = typeof labels === 'string' ? labels : JSON.stringify(labels ?? {});
    return /"pod-security\.kubernetes\.io\/enforce"(:| = )"restricted"/.test(pairs)
      ? undefined
      : 'accepts any pod. Label it pod-security.kubernetes.io/enforce = restricted.';
  }),
];

/** No destination at all means every address, and so does a list that turns out to be empty. */
function hasDestinations(rule: Body): boolean {
  const destinations = blocksOf(rule, 'to');
  return destinations.length > 0 && destinations.every((to) => Object.keys(to).length > 0);
}

/** A range of addresses, or the name servers of one namespace: pods of others are no destination. */
function isBounded(to: Body, rule: Body): boolean {
  const keys = Object.keys(to);
  if (keys.length !== 1) return false;
  if (keys[0] === 'ip_block') return true;
  const { match_labels: labels } = at(to, 'namespace_selector');
  const ports = blocksOf(rule, 'ports');
  return (
    keys[0] === 'namespace_selector' &&
    typeof ((labels ?? {}) as Body)['kubernetes.io/metadata.name'] === 'string' &&
    ports.length > 0 &&
    ports.every(({ port }) => port === '53')
  );
}

function selectsById(labels: unknown): boolean {
  const values = (labels ?? {}) as Body;
  return (
    values['com.coder.workspace.id'] === workspaceId &&
    stringsIn(Object.values(values)).every((value) => value === workspaceId || !value.includes('${'))
  );
}

/** Whether a policy selects the pods of a Deployment: each label it asks for is on the pod. */
function covers({ body }: Declared, worn: Body): boolean {
  const asked = Object.entries((at(body, 'spec', 'pod_selector').match_labels ?? {}) as Body);
  return asked.length > 0 && asked.every(([label, value]) => worn[label] === value);
}

/** Labels of a Deployment's pods, which may stand in a local value. */
function podLabels(body: Body, all: readonly Declared[]): Body {
  const { labels } = at(body, 'spec', 'template', 'metadata');
  const local = /^\$\{(local\.\w+)\}$/.exec(String(labels))?.[1];
  const held = local === undefined ? labels : all.find(({ address }) => address === local)?.body.value;
  return (held ?? {}) as Body;
}

/** A single address spares it; the admin's ranges must name the exception. */
function sparesMetadata({ cidr, except }: Body): boolean {
  if (cidr === '${to.value}') return stringsIn(except).some((text) => text.includes('169.254.0.0/16'));
  return typeof cidr === 'string' && /\/(32|128)$/.test(cidr) && !cidr.startsWith('169.254.169.254');
}
