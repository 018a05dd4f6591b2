import { DeploymentV1 } from '@cdktf/provider-kubernetes/lib/deployment-v1/index.js';
import { IngressV1 } from '@cdktf/provider-kubernetes/lib/ingress-v1/index.js';
import { NamespaceV1 } from '@cdktf/provider-kubernetes/lib/namespace-v1/index.js';
import { NetworkPolicyV1 } from '@cdktf/provider-kubernetes/lib/network-policy-v1/index.js';
import { PodDisruptionBudgetV1 } from '@cdktf/provider-kubernetes/lib/pod-disruption-budget-v1/index.js';
import { KubernetesProvider } from '@cdktf/provider-kubernetes/lib/provider/index.js';
import { ResourceQuotaV1 } from '@cdktf/provider-kubernetes/lib/resource-quota-v1/index.js';
import { SecretV1 } from '@cdktf/provider-kubernetes/lib/secret-v1/index.js';
import { ServiceV1 } from '@cdktf/provider-kubernetes/lib/service-v1/index.js';
import { StatefulSetV1 } from '@cdktf/provider-kubernetes/lib/stateful-set-v1/index.js';
import { Token } from 'cdktf';
import type { Construct } from 'constructs';
import { interpolation } from '../modules/hcl/expressions.ts';
import { DeployableStack } from '../modules/service/deployable-stack.ts';
import { kubernetesVariables } from '../modules/service/kubernetes-variables.ts';
import { dataVolumeName, podLabels, servicePod } from '../modules/service/service-pod.ts';
import { hasDatabase, serviceSecrets, variableOf } from '../modules/service/service-secrets.ts';
import { servicePort, serviceVariables } from '../modules/service/service-variables.ts';
import type { StateBackend } from '../modules/service/state-backend.ts';

const name = 'outrigger';
const countIf = (condition: string) => Token.asNumber(interpolation(`${condition} ? 1 : 0`));

/**
 * The service on Kubernetes: one pod with its own Postgres on a claim, or replicas that share a database of yours.
 *
 * Pods are admitted under Pod Security "restricted".
 */
export class KubernetesService extends DeployableStack {
  constructor(scope: Construct, id: string, backend: StateBackend) {
    super(scope, id, backend);
    this.requireProvider('kubernetes', 'hashicorp/kubernetes', '~> 2.38');
    serviceVariables(this);
    kubernetesVariables(this);
    new KubernetesProvider(this, 'provider:kubernetes', {
      configPath: interpolation('var.kubeconfig == "" ? null : var.kubeconfig'),
      configContext: interpolation('var.kube_context == "" ? null : var.kube_context'),
    });
    const metadata = { name, namespace: this.namespace(), labels: podLabels };
    const secret = this.secret(metadata);
    this.withOwnPostgres(metadata, secret);
    this.withDatabase(metadata, secret);
    this.reach(metadata);
    this.bounds(metadata);
  }

  /** HCL of the namespace's name, which waits for the namespace where this stack makes it. */
  private namespace(): string {
    const made = new NamespaceV1(this, 'namespace:service', {
      count: countIf('var.create_namespace'),
      metadata: {
        name: interpolation('var.namespace'),
        labels: { 'pod-security.kubernetes.io/enforce': 'restricted', 'pod-security.kubernetes.io/warn': 'restricted' },
      },
    });
    return interpolation(`var.create_namespace ? ${made.fqn}[0].metadata[0].name : var.namespace`);
  }

  /** Write-only: Terraform hands the files over and keeps nothing of them, in no plan and no state. */
  private secret(metadata: Metadata): string {
    const paths = serviceSecrets.map((secret) => `"${secret.file}" = var.${variableOf(secret)}`).join(', ');
    const secret = new SecretV1(this, 'secret:service', {
      metadata,
      type: 'Opaque',
      dataWoRevision: Token.asNumber(interpolation('var.secrets_revision')),
    });
    secret.addOverride(
      'data_wo',
      `\${{ for name, path in { ${paths} } : name => trimspace(file(path)) if path != "" }}`,
    );
    return interpolation(`${secret.fqn}.metadata[0].name`);
  }

  private withOwnPostgres(metadata: Metadata, secret: string): void {
    const set = new StatefulSetV1(this, 'stateful_set:service', {
      count: countIf(`!(${hasDatabase})`),
      metadata,
      spec: {
        serviceName: name,
        replicas: '1',
        selector: { matchLabels: podLabels },
        template: servicePod(secret, true),
        volumeClaimTemplate: [
          {
            metadata: { name: dataVolumeName },
            spec: {
              accessModes: ['ReadWriteOnce'],
              storageClassName: interpolation('var.storage_class == "" ? null : var.storage_class'),
              resources: { requests: { storage: interpolation('"${var.data_gb}Gi"') } },
            },
          },
        ],
      },
      waitForRollout: false,
    });
    set.addOverride('spec.template.spec.dynamic', pullSecrets);
  }

  private withDatabase(metadata: Metadata, secret: string): void {
    const deployment = new DeploymentV1(this, 'deployment:service', {
      count: countIf(hasDatabase),
      metadata,
      spec: {
        replicas: interpolation('tostring(var.replicas)'),
        selector: { matchLabels: podLabels },
        strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: '1', maxUnavailable: '0' } },
        template: servicePod(secret, false),
      },
      waitForRollout: false,
    });
    deployment.addOverride('spec.template.spec.dynamic', pullSecrets);
  }

  private reach(metadata: Metadata): void {
    const service = new ServiceV1(this, 'service:service', {
      metadata,
      spec: {
        type: 'ClusterIP',
        selector: podLabels,
        port: [{ name: 'http', port: servicePort, targetPort: 'http', protocol: 'TCP' }],
      },
    });
    const ingress = new IngressV1(this, 'ingress:service', {
      count: countIf('var.ingress_host != ""'),
      metadata,
      spec: {
        ingressClassName: interpolation('var.ingress_class == "" ? null : var.ingress_class'),
        rule: [
          {
            host: interpolation('var.ingress_host'),
            http: {
              path: [
                {
                  path: '/',
                  pathType: 'Prefix',
                  backend: {
                    service: { name: interpolation(`${service.fqn}.metadata[0].name`), port: { name: 'http' } },
                  },
                },
              ],
            },
          },
        ],
      },
    });
    ingress.addOverride('metadata.annotations', '${var.ingress_annotations}');
    ingress.addOverride('spec.dynamic.tls', [
      {
        for_each: '${var.ingress_tls_secret == "" ? [] : [var.ingress_tls_secret]}',
        content: { hosts: ['${var.ingress_host}'], secret_name: '${tls.value}' },
      },
    ]);
  }

  private bounds(metadata: Metadata): void {
    // Never `min_available`: with one pod it would hold up every drain of its node.
    new PodDisruptionBudgetV1(this, 'pod_disruption_budget:service', {
      metadata,
      spec: { maxUnavailable: '1', selector: { matchLabels: podLabels } },
    });
    const policy = new NetworkPolicyV1(this, 'network_policy:service', {
      metadata,
      spec: { podSelector: { matchLabels: podLabels }, policyTypes: ['Ingress', 'Egress'], ingress: [], egress: [] },
    });
    policy.addOverride('spec.ingress', [ingressRule]);
    policy.addOverride('spec.egress', [nameService, outside]);
    new ResourceQuotaV1(this, 'resource_quota:service', {
      count: countIf('length(var.resource_quota) > 0'),
      metadata,
      spec: { hard: Token.asStringMap(interpolation('var.resource_quota')) },
    });
  }
}

interface Metadata {
  readonly name: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
}

const pullSecrets = {
  image_pull_secrets: [{ for_each: '${var.image_pull_secrets}', content: { name: '${image_pull_secrets.value}' } }],
};

/** Calls of the service itself, from the namespaces that the admin names; with none named, from everywhere. */
const ingressRule = {
  ports: [{ port: 'http', protocol: 'TCP' }],
  dynamic: {
    from: [
      {
        for_each: '${var.client_namespaces}',
        content: { namespace_selector: [{ match_labels: { 'kubernetes.io/metadata.name': '${from.value}' } }] },
      },
    ],
  },
};

const nameService = {
  ports: [
    { port: '53', protocol: 'UDP' },
    { port: '53', protocol: 'TCP' },
  ],
  to: [{ namespace_selector: [{}] }, { ip_block: [{ cidr: '0.0.0.0/0' }] }],
};

/** Some network plugins match pods by label only and never by address, so both are said. Node metadata stays closed. */
const outside = {
  dynamic: {
    ports: [{ for_each: '${var.egress_ports}', content: { port: '${tostring(ports.value)}', protocol: 'TCP' } }],
  },
  to: [
    { namespace_selector: [{}] },
    { ip_block: [{ cidr: '0.0.0.0/0', except: ['169.254.0.0/16'] }] },
    { ip_block: [{ cidr: '::/0', except: ['fe80::/10', 'fd00:ec2::/32'] }] },
  ],
};
