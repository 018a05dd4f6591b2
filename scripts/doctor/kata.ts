import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { parseProbe, valueOf } from '../executor/probe.ts';
import { fail, unknown, type Check, type Diagnosis } from './check.ts';
import { quietContainer, quietPod, readOne } from './containers.ts';
import {
  judgeClass,
  judgeHandler,
  judgeKernel,
  judgeMemory,
  judgeNode,
  nodesOf,
  type NodeFacts,
} from './kata-checks.ts';
import { readCluster, type Cluster, type KataNode, type RuntimeClass, type Unread } from './kata-cluster.ts';
import type { RunProgram } from '../program.ts';

export interface KataOptions {
  readonly namespace: string;
  readonly runtimeClass: string;
  /** An image with `sh` that the nodes can pull: small pods are run and removed. Without it nothing is changed. */
  readonly probeImage?: string;
  /** Where a pod may look at its node. */
  readonly nodeNamespace: string;
}

/** Whether pods of a RuntimeClass are virtual machines, and can be. Needs kubectl with the rights to look. */
export async function diagnoseKata(kubectl: RunProgram, options: KataOptions): Promise<Diagnosis> {
  const { namespace, runtimeClass, probeImage } = options;
  const subject = `Kata as RuntimeClass ${runtimeClass}, namespace ${namespace}`;
  const seen = await readCluster(kubectl, namespace, runtimeClass);
  if ('error' in seen) return { subject, checks: [unreadable(seen)] };
  const found = seen.classes.find(({ metadata }) => metadata.name === runtimeClass) ?? null;
  const others = seen.classes.map(({ metadata }) => metadata.name);
  const checks = [...judgeClass(runtimeClass, found, others, seen.nodes)];
  if (found === null) return { subject, checks };
  const probed = probeImage === undefined ? noProbe : await probe(kubectl, options, probeImage, found, seen);
  // A probe has just asked the runtime, so what it met counts too.
  const after = probeImage === undefined ? seen : probed.after;
  checks.push(judgeHandler(found, after.pods, after.events), ...judgeMemory(seen.pods), ...probed.checks);
  return { subject, checks };
}

const hint =
  'outrigger doctor kata --probe --image IMAGE    (runs a small pod in the class, and one on each node, and removes them)';
const noProbe = {
  after: { pods: [], events: [] },
  checks: [
    unknown('guest kernel', 'not compared with the node’s', '', hint),
    unknown('/dev/kvm and nesting', 'not looked at', '', hint),
  ],
};

function unreadable({ what, error, isMissing }: Unread): Check {
  if (isMissing)
    return unknown(
      'kubectl',
      'there is no kubectl in PATH',
      '',
      'Install kubectl, or run this where it is: https://kubernetes.io/docs/tasks/tools',
    );
  const resource = what === 'runtimeclasses' ? 'runtimeclasses.node.k8s.io' : what;
  return unknown(
    'cluster',
    `kubectl cannot read ${what}: ${error.trim().split('\n').at(-1) ?? ''}`,
    '',
    `kubectl auth can-i list ${resource}    (KUBECONFIG and --namespace say where)`,
  );
}

interface Probed {
  readonly after: Pick<Cluster, 'pods' | 'events'>;
  readonly checks: readonly Check[];
}

async function probe(
  kubectl: RunProgram,
  options: KataOptions,
  image: string,
  found: RuntimeClass,
  seen: Cluster,
): Promise<Probed> {
  const { namespace, runtimeClass } = options;
  const name = `outrigger-doctor-${randomBytes(4).toString('hex')}`;
  const script = 'echo "kernel=$(uname -r)"; echo probe=done';
  const guest = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace },
    spec: {
      ...quietPod(image),
      runtimeClassName: runtimeClass,
      containers: [quietContainer('probe', image, ['sh', '-c', script])],
    },
  };
  const ran = await runPod(kubectl, guest);
  // Read before the pod is removed: its events go by its name.
  const read = await readCluster(kubectl, namespace, runtimeClass);
  const after = 'error' in read ? seen : read;
  await removePod(kubectl, guest);
  const node = seen.nodes.find((one) => one.name === ran.nodeName);
  const guestKernel = valueOf(parseProbe(ran.output), 'kernel');
  const refused =
    ran.refusal === '' ? [] : [fail('probe pod', ran.refusal, '', 'Give --namespace one in which you may make pods.')];
  const nodes = await probeNodes(kubectl, options, image, nodesOf(found, seen.nodes));
  const pods = after.pods.map((one) =>
    one.name === name && guestKernel !== undefined ? { ...one, phase: 'Running' } : one,
  );
  return { after: { ...after, pods }, checks: [...refused, judgeKernel(guestKernel, node), ...nodes] };
}

const nodeScript = [
  'has() { while read -r key _ words; do case $key in flags|Features) case " $words " in *" $1 "*) return 0;; esac; return 1;; esac; done </proc/cpuinfo; return 1; }',
  '[ -e /host/dev/kvm ] && echo kvm=yes',
  'case $(uname -m) in x86_64) echo x86=yes;; esac',
  'has hypervisor && echo hypervisor=yes',
  'if has vmx || has svm; then echo virt=yes; fi',
  'echo probe=done',
].join('\n');

/** One pod on each node that sees the node's /dev; nothing else of it, and only to read. */
async function probeNodes(
  kubectl: RunProgram,
  { nodeNamespace }: KataOptions,
  image: string,
  nodes: readonly KataNode[],
): Promise<readonly Check[]> {
  const checks: Check[] = [];
  for (const { name: nodeName } of nodes.slice(0, mostNodes)) {
    const name = `outrigger-doctor-${randomBytes(4).toString('hex')}`;
    const container = {
      ...quietContainer('probe', image, ['sh', '-c', nodeScript]),
      volumeMounts: [{ name: 'dev', mountPath: '/host/dev', readOnly: true }],
    };
    const pod = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace: nodeNamespace },
      spec: {
        ...quietPod(image),
        nodeName,
        tolerations: [{ operator: 'Exists' }],
        containers: [container],
        volumes: [{ name: 'dev', hostPath: { path: '/dev', type: 'Directory' } }],
      },
    };
    const { output, refusal } = await runPod(kubectl, pod);
    await removePod(kubectl, pod);
    const said = parseProbe(output);
    if (said.has('probe')) checks.push(...judgeNode(factsOf(nodeName, said)));
    else
      checks.push(
        unknown(
          `/dev/kvm on ${nodeName}`,
          refusal || 'the pod that looks at the node did not run',
          'Pod Security may forbid hostPath there.',
          `ssh ${nodeName} ls -l /dev/kvm    (or another --node-namespace)`,
        ),
      );
  }
  return checks;
}

const mostNodes = 20;

const factsOf = (name: string, said: ReturnType<typeof parseProbe>): NodeFacts => ({
  name,
  hasKvm: said.has('kvm'),
  canVirtualize: said.has('x86') ? said.has('virt') : undefined,
  isVirtual: said.has('hypervisor'),
});

interface Pod {
  readonly metadata: { readonly name: string; readonly namespace: string };
}
const place = ({ metadata: { name, namespace } }: Pod): string[] => ['-n', namespace, 'pod', name];
const ended = z.object({ spec: z.object({ nodeName: z.string().optional() }) });

/** Makes a pod and waits until it has succeeded, or for a minute. */
async function runPod(
  kubectl: RunProgram,
  pod: Pod,
): Promise<{ readonly output: string; readonly nodeName: string | undefined; readonly refusal: string }> {
  const made = await kubectl(['create', '-f', '-'], JSON.stringify(pod));
  if (made.code !== 0) return { output: '', nodeName: undefined, refusal: made.stderr };
  const { name, namespace } = pod.metadata;
  await kubectl(['wait', '-n', namespace, `pod/${name}`, '--for=jsonpath={.status.phase}=Succeeded', '--timeout=45s']);
  const { stdout } = await kubectl(['logs', '-n', namespace, name]);
  const nodeName = readOne(ended, await kubectl(['get', ...place(pod), '-o', 'json']))?.spec.nodeName;
  return { output: stdout, nodeName, refusal: '' };
}

const removePod = (kubectl: RunProgram, pod: Pod): Promise<unknown> =>
  kubectl(['delete', ...place(pod), '--wait=false', '--ignore-not-found']);
