import { NetworkPolicyV1 } from '@cdktf/provider-kubernetes/lib/network-policy-v1/index.js';
import type { Construct } from 'constructs';
import { explain } from '../hcl/comment.ts';
import { interpolation } from '../hcl/expressions.ts';
import type { WorkspaceContext } from '../workspace/workspace-context.ts';
import { labels, podSelector } from './kubernetes-labels.ts';

/**
 * Where clouds hand out credentials of the node, by the range it lies in: link-local, and its counterpart in IPv6.
 *
 * The API takes no exception from outside a range; the variables accept no other range that holds such an address.
 */
const metadata = '{ "0.0.0.0/0" = ["169.254.0.0/16"], "::/0" = ["fd00:ec2::254/128"] }';
const addresses = { cidr: '${to.value}', except: interpolation(`lookup(${metadata}, to.value, [])`) };

/**
 * Nobody reaches the pod, and the pod reaches names, and what the admin allows, but never the cloud's metadata.
 *
 * Nothing needs a way in: workspaces call Coder and Outrigger, and Coder's proxy comes back over that connection. It
 * stays while the workspace is stopped, because a pod outlives its Deployment by the time it takes to end.
 */
export function workspaceNetworkPolicy(
  scope: Construct,
  context: WorkspaceContext,
  namespace: string,
): NetworkPolicyV1 {
  const made = new NetworkPolicyV1(scope, 'network-policy:workspace', {
    metadata: { name: context.persistentName(), namespace: interpolation(namespace), labels },
    spec: {
      podSelector: { matchLabels: podSelector(context) },
      policyTypes: ['Ingress', 'Egress'],
    },
  });
  explain(
    made,
    "No way in, and out only to names and to what the admin allows, never to the cloud's metadata. It stays while the\nworkspace is stopped, because a pod outlives its Deployment by the time it takes to end.",
  );
  made.addOverride('spec.egress', [nameResolution]);
  made.addOverride('spec.dynamic.egress', [allowedEgress]);
  return made;
}

const nameResolution = {
  to: [{ namespace_selector: { match_labels: { 'kubernetes.io/metadata.name': '${var.dns_namespace}' } } }],
  ports: ['UDP', 'TCP'].map((protocol) => ({ port: '53', protocol })),
  dynamic: {
    to: [{ for_each: '${var.dns_cidrs}', content: { ip_block: addresses } }],
  },
};

/** Without any range there must be no rule at all: one without destinations would allow every address. */
const allowedEgress = {
  for_each: '${length(var.egress_cidrs) > 0 ? [1] : []}',
  content: {
    dynamic: {
      to: [{ for_each: '${var.egress_cidrs}', content: { ip_block: addresses } }],
      ports: [{ for_each: '${var.egress_ports}', content: { port: '${tostring(ports.value)}', protocol: 'TCP' } }],
    },
  },
};
