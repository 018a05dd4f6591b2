import { describe, expect, it } from '@jest/globals';
import { stringify } from 'yaml';
import { isListed, readKinds, usualKinds, versionOf } from '../../service/agents/kubernetes/kinds.ts';
import { readManifest } from '../../service/agents/kubernetes/manifest.ts';
import { isRolledOut } from '../../service/agents/kubernetes/rollout.ts';
import { shownOf } from '../../service/agents/kubernetes/shown.ts';

const bounds = { namespaces: ['team'], kinds: [...Object.keys(usualKinds), 'Pod', 'DaemonSet', 'ReplicaSet'] };
const read = (text: string) => readManifest(text, 'team', bounds);
const objectOf = (kind: string, rest: object): string =>
  stringify({ apiVersion: versionOf(kind), kind, metadata: { name: 'x' }, ...rest });

/** The path to the pod spec, by kind. */
const inPod: Readonly<Record<string, (spec: object) => object>> = {
  Pod: (spec) => ({ spec }),
  ...Object.fromEntries(
    ['Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet', 'Job'].map((kind) => [
      kind,
      (spec: object) => ({ spec: { template: { spec } } }),
    ]),
  ),
  CronJob: (spec) => ({ spec: { jobTemplate: { spec: { template: { spec } } } } }),
};
const container = (more: object) => ({ containers: [{ name: 'c', image: 'i', ...more }] });

describe('a manifest', () => {
  it.each([
    ['another service account', { serviceAccountName: 'admin' }, /serviceAccountName of \w+ x acts on the cluster/],
    ['another service account by its old name', { serviceAccount: 'admin' }, /serviceAccount /],
    ['the token of its account', { automountServiceAccountToken: true }, /automountServiceAccountToken/],
    ['the network of the node', { hostNetwork: true }, /hostNetwork/],
    ['the processes of the node', { hostPID: true }, /hostPID/],
    ['the memory of the node', { hostIPC: true }, /hostIPC/],
    ['a folder of the node', { volumes: [{ name: 'v', hostPath: { path: '/' } }] }, /volumes/],
    ['a secret as a volume', { volumes: [{ name: 'v', secret: { secretName: 's' } }] }, /volumes/],
    ['a projected volume', { volumes: [{ name: 'v', projected: { sources: [] } }] }, /volumes/],
    ['a volume of a driver', { volumes: [{ name: 'v', csi: { driver: 'secrets-store' } }] }, /volumes/],
    ['all of the node', container({ securityContext: { privileged: true } }), /containers\.0.*privileged/],
    ['more privileges', container({ securityContext: { allowPrivilegeEscalation: true } }), /allowPrivilegeEscalation/],
    ['a capability', container({ securityContext: { capabilities: { add: ['SYS_ADMIN'] } } }), /capabilities/],
    ['a port of the node', container({ ports: [{ containerPort: 1, hostPort: 22 }] }), /hostPort/],
    ['all keys of a secret', container({ envFrom: [{ secretRef: { name: 's' } }] }), /secretRef .*reads a Secret/],
    [
      'a key of a secret',
      container({ env: [{ name: 'a', valueFrom: { secretKeyRef: { name: 's', key: 'k' } } }] }),
      /secretKeyRef/,
    ],
    [
      'a secret in an init container',
      { initContainers: [{ name: 'c', envFrom: [{ secretRef: { name: 's' } }] }] },
      /initContainers/,
    ],
  ])('whose pod takes %s is refused in every kind that has pods', (_title, spec, words) => {
    for (const [kind, place] of Object.entries(inPod)) expect(() => read(objectOf(kind, place(spec)))).toThrow(words);
  });

  it.each([
    ['has plain containers', 'Deployment', { spec: { template: { spec: container({ command: ['x'] }) } } }],
    [
      'says of itself that it has no rights',
      'Pod',
      {
        spec: {
          ...container({ securityContext: { privileged: false, capabilities: { drop: ['ALL'] } } }),
          serviceAccountName: 'default',
          hostNetwork: false,
          automountServiceAccountToken: false,
          volumes: [{ name: 'v', configMap: { name: 'c' } }],
        },
      },
    ],
    ['calls a key of its data like a field', 'ConfigMap', { data: { secretRef: 'a', hostPath: '/b' } }],
    ['ends TLS', 'Ingress', { spec: { tls: [{ hosts: ['a.example.com'], secretName: 's' }] } }],
    ['balances load', 'Service', { spec: { type: 'LoadBalancer', ports: [{ port: 80 }] } }],
  ])('that %s is taken', (_title, kind, rest) => {
    expect(read(objectOf(kind, rest))).toHaveLength(1);
  });

  it.each([
    ['has addresses of its own', { externalIPs: ['192.0.2.1'] }],
    ['is another name', { type: 'ExternalName', externalName: 'metadata.example.com' }],
  ])('with a service that %s is refused', (_title, spec) => {
    expect(() => read(objectOf('Service', { spec }))).toThrow(/sends traffic out/);
  });

  it.each([
    ['0400', /write 256 if it is octal/],
    ['089', /without the leading zero/],
    ['9007199254740993', /too large/],
    ['.inf', /no number/],
    ['!!binary aGk=', /!!binary/],
  ])('that says %s is refused with what to write', (text, words) => {
    expect(() => read(`${objectOf('ConfigMap', {})}data: { mode: ${text} }`)).toThrow(words);
  });

  it('may say a mode as a text, in decimal, and as 0o400', () => {
    expect(read(`${objectOf('ConfigMap', {})}data: { a: "0400", b: 256, c: 0o400, d: 0, e: -1.5 }`)).toMatchObject([
      { data: { a: '0400', b: 256, c: 256, d: 0, e: -1.5 } },
    ]);
  });

  it('is of the group that everybody knows a kind by, unless an admin names another', () => {
    const knative = 'apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: { name: x }';
    expect(() => read(knative)).toThrow(/kind 'serving.knative.dev\/Service' is not allowed/);
    expect(readManifest(knative, 'team', { ...bounds, kinds: ['serving.knative.dev/Service'] })).toHaveLength(1);
    expect(isListed({ apiVersion: 'v1', kind: 'Service' }, ['serving.knative.dev/Service'])).toBe(false);
    expect(isListed({ apiVersion: 'autoscaling/v1', kind: 'HorizontalPodAutoscaler' }, bounds.kinds)).toBe(true);
    expect(() => readKinds(['Certificate'])).toThrow(/names 'Certificate'.*group\/Kind/);
    expect(readKinds(['DaemonSet', 'cert-manager.io/Certificate'])).toHaveLength(2);
  });
});

describe('what is shown of an object', () => {
  it('holds no literal value of an environment, nothing that kubectl keeps, and nothing of a secret', () => {
    const env = [
      { name: 'A', value: 'canary' },
      { name: 'B', valueFrom: { configMapKeyRef: { name: 'c', key: 'k' } } },
    ];
    const annotations = { 'kubectl.kubernetes.io/last-applied-configuration': 'canary', kept: 'yes' };
    const metadata = { name: 'x', annotations, managedFields: [{ manager: 'canary' }] };
    const shown = shownOf({ kind: 'Deployment', metadata, spec: { template: { spec: container({ env }) } } });

    expect(JSON.stringify(shown)).not.toContain('canary');
    expect(shown).toMatchObject({
      metadata: { name: 'x', annotations: { kept: 'yes' } },
      spec: { template: { spec: { containers: [{ image: 'i', env: [{ name: 'A' }, env[1]] }] } } },
    });
    const secret = { kind: 'Secret', metadata: { name: 's' }, data: { a: 'canary' }, stringData: { b: 'canary' } };
    expect(JSON.stringify(shownOf(secret))).not.toContain('canary');
  });
});

describe('a rollout', () => {
  const deployment = (status: object) => ({
    metadata: { generation: 2 },
    spec: { replicas: 1 },
    status: { observedGeneration: 2, ...status },
  });
  const stuck = { conditions: [{ type: 'Progressing', status: 'False', message: 'deadline exceeded' }] };

  it('is over when all that is wanted runs, by replicas or by nodes', () => {
    const ready = { replicas: 1, updatedReplicas: 1, availableReplicas: 1 };
    expect(isRolledOut('Deployment', deployment(ready))).toBe(true);
    expect(isRolledOut('Deployment', deployment({ ...ready, availableReplicas: 0 }))).toBe(false);
    const nodes = { desiredNumberScheduled: 3, updatedNumberScheduled: 3 };
    expect(isRolledOut('DaemonSet', deployment({ ...nodes, numberAvailable: 2 }))).toBe(false);
    expect(isRolledOut('DaemonSet', deployment({ ...nodes, numberAvailable: 3 }))).toBe(true);
  });

  it('fails when its controller gave up, and not for what an older generation says', () => {
    expect(() => isRolledOut('Deployment', deployment(stuck))).toThrow(/does not go on: deadline exceeded/);
    expect(isRolledOut('Deployment', deployment({ ...stuck, observedGeneration: 1 }))).toBe(false);
  });
});
