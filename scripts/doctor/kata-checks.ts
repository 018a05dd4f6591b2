import { fail, ok, unknown, warn, type Check } from './check.ts';
import type { KataEvent, KataNode, KataPod, RuntimeClass } from './kata-cluster.ts';
import { bytesOf } from './quantity.ts';

const install =
  'helm install kata-deploy oci://ghcr.io/kata-containers/kata-deploy-charts/kata-deploy --namespace kube-system --wait';
const MiB = 1024 ** 2;
const inMiB = (bytes: number): string => `${Math.ceil(bytes / MiB)}Mi`;

/** The class exists, names a handler, says what a virtual machine costs, and finds nodes. */
export function judgeClass(
  name: string,
  found: RuntimeClass | null,
  others: readonly string[],
  nodes: readonly KataNode[],
): readonly Check[] {
  if (found === null)
    return [
      fail(
        'RuntimeClass',
        `RuntimeClass "${name}" not found`,
        others.length > 0
          ? `The cluster has: ${others.join(', ')}. Name one with --runtime-class.`
          : 'Kubernetes refuses every pod that names it.',
        install,
      ),
    ];
  return [
    ok('RuntimeClass', `${name}, handler ${found.handler}`),
    judgeOverhead(name, found),
    judgeNodes(name, found, nodes),
  ];
}

function judgeOverhead(name: string, { overhead }: RuntimeClass): Check {
  const memory = overhead?.podFixed?.['memory'];
  if (memory !== undefined && (bytesOf(memory) ?? 0) > 0)
    return ok(
      'overhead',
      `each pod counts ${memory} of memory and ${overhead?.podFixed?.['cpu'] ?? 'no'} CPU for its machine`,
    );
  return warn(
    'overhead',
    'none',
    'The scheduler does not count the memory of the virtual machine itself, so full nodes kill workspaces.',
    `kubectl patch runtimeclass ${name} --type merge -p '{"overhead":{"podFixed":{"memory":"160Mi","cpu":"250m"}}}'`,
  );
}

const fits = (node: KataNode, selector: Readonly<Record<string, string>>): boolean =>
  Object.entries(selector).every(([key, value]) => node.labels[key] === value);

/** The nodes that the class schedules to. */
export const nodesOf = (found: RuntimeClass, nodes: readonly KataNode[]): readonly KataNode[] =>
  nodes.filter((node) => fits(node, found.scheduling?.nodeSelector ?? {}));

function judgeNodes(name: string, found: RuntimeClass, nodes: readonly KataNode[]): Check {
  const selector = found.scheduling?.nodeSelector ?? {};
  const wanted = Object.entries(selector).map(([key, value]) => `${key}=${value}`);
  const chosen = nodesOf(found, nodes);
  const ready = chosen.filter((node) => node.isReady);
  if (chosen.length === 0)
    return fail(
      'nodes',
      `none bears ${wanted.join(', ') || 'any label'}`,
      'Pods of the class stay Pending.',
      `kubectl label node NODE ${wanted.join(' ')}    (only one that Kata is installed on; else: ${install})`,
    );
  if (ready.length === 0)
    return fail('nodes', `${chosen.map((node) => node.name).join(', ')}: not Ready`, '', 'kubectl describe node');
  if (wanted.length === 0 && nodes.length > 1)
    return warn(
      'nodes',
      `the class may use all ${nodes.length} nodes, whether Kata is on them or not`,
      'A pod on a node without it stays ContainerCreating.',
      `kubectl patch runtimeclass ${name} --type merge -p '{"scheduling":{"nodeSelector":{"katacontainers.io/kata-runtime":"true"}}}'`,
    );
  return ok(
    'nodes',
    `${ready.length} ready: ${ready.map((node) => `${node.name} (kernel ${node.kernel})`).join(', ')}`,
  );
}

const noHandler = /no runtime for "([^"]+)" is configured/;

/** Whether the nodes know the class's handler, from what became of its pods. Source: containerd's answer to the kubelet. */
export function judgeHandler(found: RuntimeClass, pods: readonly KataPod[], events: readonly KataEvent[]): Check {
  const own = new Set(pods.map((pod) => pod.name));
  const failures = events.filter(({ reason, pod }) => reason === 'FailedCreatePodSandBox' && own.has(pod));
  const missing = failures.find(({ message }) => noHandler.test(message));
  const running = pods.filter(({ phase }) => phase === 'Running');
  // Events outlive their cause by an hour: a pod that runs on the handler is newer knowledge about its own node only.
  const healed = missing !== undefined && pods.some((pod) => pod.name === missing.pod && pod.phase === 'Running');
  if (missing !== undefined && !healed)
    return fail(
      'handler',
      `no runtime for "${noHandler.exec(missing.message)?.[1] ?? found.handler}" is configured${missing.host ? ` on ${missing.host}` : ''} (pod ${missing.pod})`,
      'The node’s containerd or CRI-O does not know Kata, so its pods stay ContainerCreating.',
      `${install}    (or add the runtime ${found.handler} to /etc/containerd/config.toml of that node and systemctl restart containerd)`,
    );
  const other = failures.find(({ pod }) => !pods.some((one) => one.name === pod && one.phase === 'Running'));
  if (other !== undefined)
    return fail(
      'handler',
      other.message,
      'The runtime is there, and its virtual machine does not start.',
      `kubectl describe pod ${other.pod}    (and on the node: journalctl -t kata)`,
    );
  if (running.length > 0) return ok('handler', `${found.handler} runs ${running.length} pods here`);
  return unknown(
    'handler',
    `no pod of the class runs here, so nobody asked for ${found.handler}`,
    '',
    'outrigger doctor kata --probe --image IMAGE    (runs a small pod of the class)',
  );
}

/** Volumes without a disk live in the guest's memory, so they count against it. */
export function judgeMemory(pods: readonly KataPod[]): readonly Check[] {
  if (pods.length === 0) return [];
  const flaws = pods.flatMap(({ name, memoryLimits, emptyDirs }) => {
    const unlimited = emptyDirs.filter(({ bytes }) => bytes === null);
    const sum = emptyDirs.reduce((total, { bytes }) => total + (bytes ?? 0), 0);
    const guest = memoryLimits.reduce<number>((total, bytes) => total + (bytes ?? 0), 0);
    const check = `guest memory of ${name}`;
    if (memoryLimits.some((bytes) => bytes === null))
      return [
        fail(
          check,
          'a container has no memory limit',
          'Kata sizes the machine by the limits; without one it has its default only.',
          'Set resources.limits.memory of every container in the template.',
        ),
      ];
    if (sum >= guest)
      return [
        fail(
          check,
          `${inMiB(guest)}, and emptyDirs of ${inMiB(sum)}`,
          'emptyDirs lie in the guest’s memory: filling them kills the workspace.',
          'coder update WORKSPACE --parameter memory=…    (or a smaller sizeLimit in the template)',
        ),
      ];
    if (unlimited.length > 0)
      return [
        warn(
          check,
          `emptyDir ${unlimited.map((one) => one.name).join(', ')} has no size limit`,
          'It may fill half of the guest’s memory.',
          'Set sizeLimit of that volume in the template.',
        ),
      ];
    return [];
  });
  if (flaws.length > 0) return flaws;
  return [ok('guest memory', `larger than the emptyDirs in all ${pods.length} pods of the class`)];
}

/** What a pod of the class saw, against the node it ran on. */
export function judgeKernel(guestKernel: string | undefined, node: KataNode | undefined): Check {
  if (guestKernel === undefined || node === undefined)
    return unknown(
      'guest kernel',
      'the probe pod did not run',
      '',
      'kubectl get events --sort-by=.lastTimestamp    (says why)',
    );
  if (guestKernel === node.kernel)
    return fail(
      'guest kernel',
      `${guestKernel}, which is the kernel of node ${node.name}`,
      'The pod shares the node’s kernel: the class only calls itself Kata.',
      `kubectl get runtimeclass -o custom-columns=NAME:.metadata.name,HANDLER:.handler    (its handler must be Kata’s: ${install})`,
    );
  return ok('guest kernel', `${guestKernel}; node ${node.name} has ${node.kernel}`);
}

export interface NodeFacts {
  readonly name: string;
  readonly hasKvm: boolean;
  /** The processor can virtualize: flag vmx or svm. Undefined off x86. */
  readonly canVirtualize: boolean | undefined;
  /** The node is a virtual machine itself. */
  readonly isVirtual: boolean;
}

export function judgeNode({ name, hasKvm, canVirtualize, isVirtual }: NodeFacts): readonly Check[] {
  const nesting = isVirtual
    ? canVirtualize === false && hasKvm
      ? warn(
          `nesting on ${name}`,
          'the node is a virtual machine whose processor does not say that it can virtualize, and has /dev/kvm',
          'Some clouds virtualize without saying so; only a pod of the class shows whether it works.',
          'outrigger doctor kata --probe --image IMAGE    (the lines handler and guest kernel decide)',
        )
      : canVirtualize === false
        ? fail(
            `nesting on ${name}`,
            'the node is a virtual machine whose processor cannot virtualize',
            'Nested virtualization is off on the host below it.',
            'modprobe -r kvm_intel && modprobe kvm_intel nested=1    (on that host, kvm_amd with AMD; in clouds choose a machine type with nested virtualization, or bare metal)',
          )
        : ok(`nesting on ${name}`, 'a virtual machine that may virtualize again')
    : ok(`nesting on ${name}`, 'not needed: no virtual machine');
  const kvm = hasKvm
    ? ok(`/dev/kvm on ${name}`, 'there')
    : fail(
        `/dev/kvm on ${name}`,
        'not there',
        'Kata cannot start a virtual machine.',
        canVirtualize === false && !isVirtual
          ? 'Switch VT-x or AMD-V on in the firmware of the machine, then boot it again.'
          : 'modprobe kvm_intel || modprobe kvm_amd    (on the node; add the module to /etc/modules-load.d)',
      );
  return [kvm, nesting];
}
