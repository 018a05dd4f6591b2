import type { Construct } from 'constructs';
import { optionalText, rule, variable, wholeNumber } from '../workspace/variable.ts';
import { hasDatabase } from './service-secrets.ts';

const quantity = '^[0-9]+(\\\\.[0-9]+)?(m|[EPTGMk]i?)?$';

/** What an admin says about the service on Kubernetes, beside what holds everywhere. */
export function kubernetesVariables(scope: Construct): void {
  clusterVariables(scope);
  sizeVariables(scope);
  networkVariables(scope);
}

function clusterVariables(scope: Construct): void {
  optionalText(
    scope,
    'kubeconfig',
    'Path of the kubeconfig; empty: KUBE_CONFIG_PATH, or the pod that Terraform runs in.',
  );
  optionalText(scope, 'kube_context', 'Context of the kubeconfig; empty: its current one.');
  variable(scope, 'namespace', {
    description: 'Namespace of the service.',
    type: 'string',
    default: 'outrigger',
    validation: [
      rule(
        'can(regex("^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", var.namespace))',
        'Use at most 63 small letters, digits and "-", such as "outrigger".',
      ),
    ],
  });
  variable(scope, 'create_namespace', {
    description: 'Whether this stack makes the namespace, with Pod Security "restricted" enforced.',
    type: 'bool',
    default: true,
  });
  list(scope, 'image_pull_secrets', 'Secrets of the namespace with which the image is pulled.');
}

function sizeVariables(scope: Construct): void {
  const one = rule(
    `var.replicas == 1 || ${hasDatabase}`,
    "More than one replica needs a database that they share: give 'database_url_file'.",
  );
  variable(scope, 'replicas', {
    description: "How many processes serve; more than one needs 'database_url_file'.",
    type: 'number',
    default: 1,
    validation: [
      rule(
        'floor(var.replicas) == var.replicas && var.replicas >= 1 && var.replicas <= 50',
        'Give a whole number from 1 to 50.',
      ),
      one,
    ],
  });
  cpu(scope, 'cpu_request', 'CPU that is kept for each process, such as "250m".', '250m');
  cpu(scope, 'cpu_limit', 'CPU that each process may use, such as "2".', '2');
  wholeNumber(
    scope,
    'data_gb',
    "Size of the service's volume in GB, where it keeps its own Postgres.",
    10,
    [1, 65_536],
  );
  optionalText(scope, 'storage_class', "Storage class of that volume; empty: the cluster's default.");
  variable(scope, 'resource_quota', {
    description: 'Hard limits of a ResourceQuota for the namespace, such as { "limits.memory" = "8Gi" }; empty: none.',
    type: 'map(string)',
    default: {},
  });
}

function cpu(scope: Construct, name: string, description: string, byDefault: string): void {
  const check = rule(`can(regex("${quantity}", var.${name}))`, 'Give an amount of CPU, such as "250m" or "2".');
  variable(scope, name, { description, type: 'string', default: byDefault, validation: [check] });
}

function networkVariables(scope: Construct): void {
  list(
    scope,
    'client_namespaces',
    'Namespaces that may call the service, those of the workspaces included; empty: all.',
  );
  variable(scope, 'egress_ports', {
    description: 'TCP ports that the service may call: of Coder, of the models, of the database.',
    type: 'list(number)',
    default: [443, 5432],
    validation: [
      // No port in a rule of a NetworkPolicy means every port.
      rule(
        'length(var.egress_ports) > 0 && alltrue([for port in var.egress_ports : port >= 1 && port <= 65535])',
        'List at least one port from 1 to 65535, such as [443].',
      ),
    ],
  });
  optionalText(scope, 'ingress_host', 'Host name of an Ingress for the service; empty: none is made.');
  optionalText(scope, 'ingress_class', "Class of the Ingress; empty: the cluster's default.");
  optionalText(scope, 'ingress_tls_secret', 'Secret of the namespace with the certificate of that host.', [
    rule(
      'var.ingress_tls_secret != "" || var.ingress_host == "" || var.allow_insecure_http',
      "People's tokens pass here: name a certificate, or set 'allow_insecure_http' where something before it has TLS.",
    ),
  ]);
  variable(scope, 'ingress_annotations', {
    description:
      'Annotations of the Ingress; connections stay open for hours, so raise the timeouts of its controller.',
    type: 'map(string)',
    default: {},
  });
}

function list(scope: Construct, name: string, description: string): void {
  variable(scope, name, { description, type: 'list(string)', default: [] });
}
