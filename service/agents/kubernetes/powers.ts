import { AgentFailure } from '../agent-failure.ts';
import type { KubernetesObject } from './manifest.ts';

/** What a value gives that a manifest must not ask for; undefined where it is harmless. */
type Power = (value: unknown) => string | undefined;

type Fields = Readonly<Record<string, unknown>>;
const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null;
const isNothing = (value: unknown): boolean =>
  value === undefined || value === null || value === '' || (isFields(value) && Object.keys(value).length === 0);

const unless =
  (isHarmless: (value: unknown) => boolean, why: string): Power =>
  (value) =>
    isNothing(value) || isHarmless(value) ? undefined : why;
const never = (why: string): Power => unless(() => false, why);
const notTrue = (why: string): Power => unless((value) => value === false, why);

/** Kinds of volumes that hold nothing of the node, of a secret or of another system. */
const volumeFields = ['name', 'configMap', 'emptyDir', 'persistentVolumeClaim', 'ephemeral', 'downwardAPI'];
const isPlainVolume = (volume: unknown): boolean =>
  isFields(volume) && Object.keys(volume).every((field) => volumeFields.includes(field));

const node = 'reaches the node';
const account = 'acts on the cluster as a service account';
const secret = 'reads a Secret';
const outside = 'sends traffic out of its namespace';

/**
 * By field, wherever it stands: a pod can be asked for in many places, and an apply may send a part of one only.
 *
 * Source: Pod Security Standards, baseline; secrets and service accounts are ours
 */
const powers: Readonly<Record<string, Power>> = {
  hostNetwork: notTrue(node),
  hostPID: notTrue(node),
  hostIPC: notTrue(node),
  hostPath: never(node),
  hostPort: unless((value) => value === 0, node),
  hostProcess: notTrue(node),
  privileged: notTrue(node),
  allowPrivilegeEscalation: notTrue('may gain privileges'),
  capabilities: unless((value) => isFields(value) && isNothing(value['add']), 'adds capabilities'),
  procMount: unless((value) => value === 'Default', node),
  serviceAccountName: unless((value) => value === 'default', account),
  serviceAccount: unless((value) => value === 'default', account),
  automountServiceAccountToken: notTrue(account),
  secretKeyRef: never(secret),
  secretRef: never(secret),
  volumes: unless(
    (value) => !Array.isArray(value) || value.every(isPlainVolume),
    `is none of ${volumeFields.slice(1).join(', ')}`,
  ),
};

const ofService: Readonly<Record<string, Power>> = {
  externalIPs: never(outside),
  externalName: never(outside),
  type: unless((value) => value !== 'ExternalName', outside),
};

/** Throws `AgentFailure` naming the field of an object that gives rights, reads secrets or reaches the node. */
export function mustBePowerless({ metadata, ...rest }: KubernetesObject): void {
  const { data: _data, binaryData: _binaryData, ...more } = rest as Fields;
  // What a person calls a key of a config map is no field.
  const fields = rest.kind === 'ConfigMap' && rest.apiVersion === 'v1' ? more : (rest as Fields);
  const isService = rest.kind === 'Service' && rest.apiVersion === 'v1';
  const found = findPower(fields, [], isService ? { ...powers, ...ofService } : powers);
  if (found === null) return;
  throw new AgentFailure(
    'ContextError',
    `The manifest cannot be used: ${found.path.join('.')} of ${rest.kind} ${metadata.name} ${found.why}. Take it out.`,
  );
}

interface Found {
  readonly path: readonly string[];
  readonly why: string;
}

function findPower(fields: Fields, path: readonly string[], judges: Readonly<Record<string, Power>>): Found | null {
  for (const [field, value] of Object.entries(fields)) {
    const here = [...path, field];
    const why = Object.hasOwn(judges, field) ? judges[field]?.(value) : undefined;
    if (why !== undefined) return { path: here, why };
    const deeper = isFields(value) ? findPower(value, here, judges) : null;
    if (deeper !== null) return deeper;
  }
  return null;
}
