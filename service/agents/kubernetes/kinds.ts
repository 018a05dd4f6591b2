import { ServiceError } from '../../platform/errors.ts';

/**
 * Kinds that are allowed where an admin says nothing, with the version that is asked for where none is named. They
 * stay in their namespace and are no rights themselves; what their pods may be, `powers.ts` bounds.
 */
export const usualKinds: Readonly<Record<string, string>> = {
  ConfigMap: 'v1',
  Service: 'v1',
  PersistentVolumeClaim: 'v1',
  Deployment: 'apps/v1',
  StatefulSet: 'apps/v1',
  Job: 'batch/v1',
  CronJob: 'batch/v1',
  Ingress: 'networking.k8s.io/v1',
  HorizontalPodAutoscaler: 'autoscaling/v2',
  PodDisruptionBudget: 'policy/v1',
};

/** Kinds that an admin may name without their group, with the version that is asked for where none is named. */
const versions: Readonly<Record<string, string>> = {
  ...usualKinds,
  DaemonSet: 'apps/v1',
  ReplicaSet: 'apps/v1',
  Pod: 'v1',
  PodTemplate: 'v1',
  ReplicationController: 'v1',
  ServiceAccount: 'v1',
  Endpoints: 'v1',
  LimitRange: 'v1',
  ResourceQuota: 'v1',
  EndpointSlice: 'discovery.k8s.io/v1',
  NetworkPolicy: 'networking.k8s.io/v1',
  Role: 'rbac.authorization.k8s.io/v1',
  RoleBinding: 'rbac.authorization.k8s.io/v1',
};

/** The version of a kind that everybody knows; undefined for any other. */
export const versionOf = (kind: string): string | undefined =>
  Object.hasOwn(versions, kind) ? versions[kind] : undefined;

/** Kind and group, as an admin writes them: `Deployment`, `cert-manager.io/Certificate`. */
interface GroupKind {
  readonly apiVersion: string;
  readonly kind: string;
}

const groupOf = (apiVersion: string): string => (apiVersion.includes('/') ? (apiVersion.split('/')[0] ?? '') : '');

/** A kind without a group means the group that everybody knows it by, and no other. */
function fullName(listed: string): string {
  if (listed.includes('/')) return listed;
  return `${groupOf(versionOf(listed) ?? 'v1')}/${listed}`;
}

/** Whether a list of kinds names this one, group and all. */
export const isListed = ({ apiVersion, kind }: GroupKind, kinds: readonly string[]): boolean =>
  kinds.some((listed) => fullName(listed) === `${groupOf(apiVersion)}/${kind}`);

/** As an admin would write it. */
export const listedAs = ({ apiVersion, kind }: GroupKind): string => {
  const group = groupOf(apiVersion);
  return group === '' || fullName(kind) === `${group}/${kind}` ? kind : `${group}/${kind}`;
};

/** An admin's list of kinds. Throws `invalid` for one that names no group and that nobody knows. */
export function readKinds(given: readonly string[]): readonly string[] {
  const unknown = given.find((listed) => !listed.includes('/') && versionOf(listed) === undefined);
  if (unknown !== undefined) throw kindWithoutGroup(unknown);
  return given;
}

const kindWithoutGroup = (kind: string): ServiceError =>
  new ServiceError(
    'invalid',
    'kubernetes_kind_unknown',
    `kubernetes.kinds names '${kind}', whose API group is not known. Write group/Kind, such as cert-manager.io/Certificate.`,
  );
