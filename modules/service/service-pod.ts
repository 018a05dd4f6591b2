import type {
  DeploymentV1SpecTemplate,
  DeploymentV1SpecTemplateSpecContainer,
} from '@cdktf/provider-kubernetes/lib/deployment-v1/index.js';
import { interpolation } from '../hcl/expressions.ts';
import { isGiven, secretsDirectory } from './service-secrets.ts';
import { dataVolume, serviceEnvironment, servicePort } from './service-variables.ts';

/** Labels by which Service, NetworkPolicy and disruption budget find the pods. */
export const podLabels = { 'app.kubernetes.io/name': 'outrigger', 'app.kubernetes.io/component': 'service' };

/** Name of the volume with the service's data: a claim, or empty where the data is in a database. */
export const dataVolumeName = 'data';

/** What Pod Security "restricted" asks of a pod. */
const podSecurity = {
  runAsNonRoot: true,
  runAsUser: '1000',
  runAsGroup: '0',
  // A fresh volume belongs to root and this group. Changing the owners in it again at each start would open what the
  // service and Postgres have closed, and both then refuse to run.
  fsGroup: '1000',
  fsGroupChangePolicy: 'OnRootMismatch',
  seccompProfile: { type: 'RuntimeDefault' },
};

/** The provider sends what is left out as false, and that overrides the pod: so a container says everything again. */
const containerSecurity = {
  privileged: false,
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  runAsNonRoot: true,
  runAsUser: '1000',
  runAsGroup: '0',
  capabilities: { drop: ['ALL'] },
  seccompProfile: { type: 'RuntimeDefault' },
};

/** The service's pod, for a Deployment and a StatefulSet alike. `keepsData`: a claim gives its data volume. */
export function servicePod(secretName: string, keepsData: boolean): DeploymentV1SpecTemplate {
  return {
    metadata: {
      labels: podLabels,
      // Files of a changed secret arrive in running pods, but the service reads them only when it starts.
      annotations: { 'outrigger/secrets-revision': interpolation('tostring(var.secrets_revision)') },
    },
    spec: {
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      securityContext: podSecurity,
      terminationGracePeriodSeconds: 30,
      topologySpreadConstraint: [
        {
          maxSkew: 1,
          topologyKey: 'kubernetes.io/hostname',
          whenUnsatisfiable: 'ScheduleAnyway',
          labelSelector: [{ matchLabels: podLabels }],
        },
      ],
      container: [serviceContainer()],
      volume: [
        { name: 'secrets', secret: { secretName, defaultMode: '0440' } },
        { name: 'tmp', emptyDir: { medium: 'Memory', sizeLimit: '256Mi' } },
        ...(keepsData ? [] : [{ name: dataVolumeName, emptyDir: { sizeLimit: '1Gi' } }]),
      ],
    },
  };
}

function serviceContainer(): DeploymentV1SpecTemplateSpecContainer {
  const environment = serviceEnvironment(
    (secret) => `\${${isGiven(secret)} ? "${secretsDirectory}/${secret.file}" : ""}`,
  );
  return {
    name: 'service',
    image: interpolation('var.service_image'),
    imagePullPolicy: 'IfNotPresent',
    securityContext: containerSecurity,
    env: Object.entries(environment).map(([name, value]) => ({ name, value })),
    port: [{ name: 'http', containerPort: servicePort, protocol: 'TCP' }],
    resources: {
      requests: { cpu: interpolation('var.cpu_request'), memory: interpolation('"${var.memory_mb}Mi"') },
      limits: { cpu: interpolation('var.cpu_limit'), memory: interpolation('"${var.memory_mb}Mi"') },
    },
    // The first start makes the database.
    startupProbe: { httpGet: probe('/healthz'), periodSeconds: 5, timeoutSeconds: 3, failureThreshold: 60 },
    livenessProbe: { httpGet: probe('/healthz'), periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6 },
    readinessProbe: { httpGet: probe('/readyz'), periodSeconds: 5, timeoutSeconds: 5, failureThreshold: 3 },
    volumeMount: [
      { name: dataVolumeName, mountPath: dataVolume },
      { name: 'secrets', mountPath: secretsDirectory, readOnly: true },
      { name: 'tmp', mountPath: '/tmp' },
    ],
  };
}

const probe = (path: string) => ({ path, port: 'http' });
