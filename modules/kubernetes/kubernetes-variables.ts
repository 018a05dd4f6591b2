import type { Construct } from 'constructs';
import { explain } from '../hcl/comment.ts';
import { flag, optionalText, rule, variable, wholeNumber } from '../workspace/variable.ts';
import { shortIdDigits } from './workspace-namespace.ts';

/** The most for the name of a namespace, and for that of a user of Coder. */
const mostNameCharacters = 63;
const mostOwnerCharacters = 32;
const mostPrefixCharacters = mostNameCharacters - '-'.length - shortIdDigits;

/** What the admin of a cluster decides beside what every platform asks. */
export function kubernetesVariables(scope: Construct): void {
  const access = flag(
    scope,
    'use_kubeconfig',
    "Whether the provisioner uses ~/.kube/config; otherwise its pod's service account.",
  );
  explain(access, 'The cluster, and where in it workspaces live.');
  namespaceVariables(scope);
  storageVariables(scope);
  schedulingVariables(scope);
  egressVariables(scope);
}

function namespaceVariables(scope: Construct): void {
  variable(scope, 'namespace', {
    description: 'Namespace of the workspaces. "{owner}" in it becomes the name of the owner, such as "coder-{owner}".',
    type: 'string',
    default: 'coder-workspaces',
    validation: [
      rule(
        'can(regex("^[a-z0-9]([a-z0-9-]|\\\\{owner\\\\})*$", var.namespace))',
        'Use lower-case letters, digits, hyphens and {owner}, such as "coder-workspaces" or "coder-{owner}".',
      ),
      rule(
        `length(replace(var.namespace, "{owner}", "${'x'.repeat(mostOwnerCharacters)}")) <= (var.create_namespace ? ${String(mostPrefixCharacters)} : ${String(mostNameCharacters)})`,
        `Use a shorter name: it may have ${String(mostNameCharacters)} characters, or ${String(mostPrefixCharacters)} with create_namespace, where the id follows; {owner} counts as ${String(mostOwnerCharacters)}.`,
      ),
    ],
  });
  flag(
    scope,
    'create_namespace',
    'Whether each workspace has a namespace of its own, "<namespace>-<begin of its id>", which is deleted with it. Setting it to false later deletes those namespaces, with all that is kept in them.',
  );
  variable(scope, 'quota', {
    description: 'Quota of that namespace, such as {"limits.memory" = "32Gi"}; empty: none.',
    type: 'map(string)',
    default: {},
    validation: [
      rule(
        'length(var.quota) == 0 || var.create_namespace',
        'A quota counts all of a namespace, so it needs create_namespace = true. Limit a shared namespace outside.',
      ),
    ],
  });
}

function storageVariables(scope: Construct): void {
  const storage = optionalText(scope, 'storage_class', "StorageClass of the volumes; empty: the cluster's default.");
  explain(storage, 'Disks.');
  wholeNumber(scope, 'home_disk_gb', 'Size in GB of the home folder, and of what the agent keeps.', 10, [1, 65_536]);
  wholeNumber(
    scope,
    'scratch_disk_gb',
    'The most in GB that a container may write outside its volumes.',
    20,
    [1, 65_536],
  );
}

function schedulingVariables(scope: Construct): void {
  const first = variable(scope, 'image_pull_secrets', {
    description: 'Secrets of the namespace with which images are pulled.',
    type: 'list(string)',
    default: [],
  });
  explain(first, 'Which nodes run the pods, and how they get the images.');
  variable(scope, 'node_selector', {
    description: 'Labels that a node must have to run workspaces.',
    type: 'map(string)',
    default: {},
  });
  variable(scope, 'tolerations', {
    description: 'Taints that workspaces tolerate, such as [{key = "dedicated", operator = "Exists"}].',
    type: 'list(object({ key = string, operator = optional(string, "Equal"), value = optional(string), effect = optional(string) }))',
    default: [],
  });
}

/** Whether every range of a list is one, and holds no address of a cloud's metadata unless it is every address. */
function sparesMetadata(name: string): string {
  const holds = (address: string) =>
    `try(cidrhost("${address}/\${split("/", cidr)[1]}", 0) == cidrhost(cidr, 0), !can(cidrhost(cidr, 0)))`;
  const checked = `!${holds('169.254.169.254')} && !${holds('fd00:ec2::254')}`;
  return `alltrue([for cidr in var.${name} : contains(["0.0.0.0/0", "::/0"], cidr) || ${checked}])`;
}

function egressVariables(scope: Construct): void {
  const reached = variable(scope, 'egress_cidrs', {
    description:
      'Addresses that workspaces may reach: those of Coder, Outrigger, git and package registries must be among them.',
    type: 'list(string)',
    default: ['0.0.0.0/0', '::/0'],
    validation: [
      rule(
        sparesMetadata('egress_cidrs'),
        'Give ranges such as "10.0.0.0/8", and none that holds 169.254.169.254 or fd00:ec2::254: there clouds hand out credentials of the node.',
      ),
    ],
  });
  explain(reached, 'What workspaces may reach. Nobody reaches them, whatever stands here.');
  variable(scope, 'egress_ports', {
    description: 'TCP ports that workspaces may reach there, such as [22, 443]; empty: every port.',
    type: 'list(number)',
    default: [],
    validation: [
      rule(
        'alltrue([for port in var.egress_ports : floor(port) == port && port >= 1 && port <= 65535])',
        'Give ports from 1 to 65535, such as [22, 443].',
      ),
    ],
  });
  variable(scope, 'dns_namespace', {
    description: "Namespace of the cluster's name servers.",
    type: 'string',
    default: 'kube-system',
  });
  variable(scope, 'dns_cidrs', {
    description: 'Name servers outside that namespace, such as "169.254.20.10/32" of NodeLocal DNSCache.',
    type: 'list(string)',
    default: [],
    validation: [
      rule(
        sparesMetadata('dns_cidrs'),
        'Give ranges such as "169.254.20.10/32", and none that holds 169.254.169.254 or fd00:ec2::254.',
      ),
    ],
  });
}
