import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { exitCodeOf, formatDiagnosis, type Diagnosis } from '../../scripts/doctor/check.ts';
import { judgeNode } from '../../scripts/doctor/kata-checks.ts';
import { diagnoseKata, type KataOptions } from '../../scripts/doctor/kata.ts';
import { programNamed } from '../../scripts/program.ts';
import { bytesOf } from '../../scripts/doctor/quantity.ts';

/**
 * A kubectl that replays a cluster: bodies and words as Kubernetes 1.34.2 with containerd 1.6 gave them on a node
 * without Kata, cut to the fields that matter.
 */
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'outrigger-kubectl-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const kernel = '6.1.0-30-amd64';
const node = (labels: object = {}) => ({
  metadata: { name: 'lab', labels: { 'kubernetes.io/hostname': 'lab', ...labels } },
  status: { conditions: [{ type: 'Ready', status: 'True' }], nodeInfo: { kernelVersion: kernel } },
});
const overhead = { podFixed: { cpu: '250m', memory: '160Mi' } };
const runtimeClass = (change: object = {}) => ({
  apiVersion: 'node.k8s.io/v1',
  kind: 'RuntimeClass',
  metadata: { name: 'kata-qemu' },
  handler: 'kata-qemu',
  overhead,
  ...change,
});
const pod = (change: { phase?: string; limit?: string | null; sizeLimit?: string | null } = {}) => {
  const { phase = 'Running', limit = '2Gi', sizeLimit = '512Mi' } = change;
  return {
    metadata: { name: 'coder-5f8' },
    spec: {
      runtimeClassName: 'kata-qemu',
      nodeName: 'lab',
      containers: [{ name: 'worker', resources: limit === null ? {} : { limits: { cpu: '1', memory: limit } } }],
      volumes: [
        { name: 'tools', emptyDir: sizeLimit === null ? {} : { sizeLimit } },
        { name: 'home', persistentVolumeClaim: { claimName: 'home' } },
      ],
    },
    status: { phase },
  };
};
const noHandler = {
  reason: 'FailedCreatePodSandBox',
  message:
    'Failed to create pod sandbox: rpc error: code = Unknown desc = failed to get sandbox runtime: no runtime for "kata-qemu" is configured',
  involvedObject: { kind: 'Pod', name: 'coder-5f8' },
  source: { component: 'kubelet', host: 'lab' },
};

interface Replay {
  readonly classes?: readonly object[];
  readonly nodes?: readonly object[];
  readonly pods?: readonly object[];
  readonly events?: readonly object[];
  /** Logs of the pod in the class, then of the one that looks at the node. */
  readonly guest?: string;
  readonly host?: string;
  readonly failing?: string;
}

async function diagnose(replay: Replay, options: Partial<KataOptions> = {}): Promise<Diagnosis> {
  const lists = { runtimeclasses: replay.classes, nodes: replay.nodes, pods: replay.pods, events: replay.events };
  for (const [name, items] of Object.entries(lists))
    writeFileSync(join(folder, name), JSON.stringify({ apiVersion: 'v1', kind: 'List', items: items ?? [] }));
  writeFileSync(join(folder, 'guest'), replay.guest ?? '');
  writeFileSync(join(folder, 'host'), replay.host ?? '');
  writeFileSync(join(folder, 'one'), JSON.stringify({ spec: { nodeName: 'lab' } }));
  const script = `#!/bin/sh
cd ${folder}
echo "$*" >> said
case "$1 $2 $3 $4" in
  ${replay.failing === undefined ? '' : `"get ${replay.failing} "*) echo 'Error from server (Forbidden): ${replay.failing} is forbidden' >&2; exit 1 ;;`}
  "get -n "*) cat one ;;
  "get "*) cat "$2" ;;
  "create "*) cat >> made ;;
  "logs -n kube-system "*) cat host ;;
  "logs "*) cat guest ;;
esac
`;
  const kubectl = join(folder, 'kubectl');
  writeFileSync(kubectl, script);
  chmodSync(kubectl, 0o755);
  return diagnoseKata(programNamed(kubectl), {
    namespace: 'coder-workspaces',
    runtimeClass: 'kata-qemu',
    nodeNamespace: 'kube-system',
    ...options,
  });
}

const good: Replay = { classes: [runtimeClass()], nodes: [node()], pods: [pod()] };
const probed = { probeImage: 'registry.example.com/base:1' };
const guest = 'kernel=6.12.28\nprobe=done\n';
const host = 'kvm=yes\nx86=yes\nvirt=yes\nprobe=done\n';
const lineOf = (diagnosis: Diagnosis, name: string) => diagnosis.checks.find((check) => check.name === name);

describe('the doctor of Kata (part of D15)', () => {
  it('finds all well where a virtual machine runs on a node that can', async () => {
    const diagnosis = await diagnose({ ...good, guest, host }, probed);

    expect(diagnosis.checks.filter(({ state }) => state !== 'ok')).toEqual([]);
    expect(exitCodeOf(diagnosis)).toBe(0);
    expect(formatDiagnosis(diagnosis)).toContain(`6.12.28; node lab has ${kernel}`);
  });

  const selector = { nodeSelector: { 'katacontainers.io/kata-runtime': 'true' } };
  it.each<[string, Replay, string, 'fail' | 'warn', string, string]>([
    [
      'a missing class',
      { ...good, classes: [] },
      'RuntimeClass',
      'fail',
      'RuntimeClass "kata-qemu" not found',
      'helm install kata-deploy',
    ],
    [
      'a class without overhead',
      { ...good, classes: [runtimeClass({ overhead: undefined })] },
      'overhead',
      'warn',
      'none',
      'kubectl patch runtimeclass kata-qemu',
    ],
    [
      'no node with the label',
      { ...good, classes: [runtimeClass({ scheduling: selector })] },
      'nodes',
      'fail',
      'none bears katacontainers.io/kata-runtime=true',
      'kubectl label node NODE katacontainers.io/kata-runtime=true',
    ],
    [
      'a node that lacks the handler',
      { ...good, pods: [pod({ phase: 'Pending' })], events: [noHandler] },
      'handler',
      'fail',
      'no runtime for "kata-qemu" is configured on lab',
      '/etc/containerd/config.toml',
    ],
    [
      'emptyDirs larger than the guest',
      { ...good, pods: [pod({ sizeLimit: '2Gi' })] },
      'guest memory of coder-5f8',
      'fail',
      '2048Mi, and emptyDirs of 2048Mi',
      'memory=',
    ],
    [
      'an emptyDir without a limit',
      { ...good, pods: [pod({ sizeLimit: null })] },
      'guest memory of coder-5f8',
      'warn',
      'emptyDir tools has no size limit',
      'sizeLimit',
    ],
    [
      'a container without a memory limit',
      { ...good, pods: [pod({ limit: null })] },
      'guest memory of coder-5f8',
      'fail',
      'no memory limit',
      'resources.limits.memory',
    ],
  ])('names %s and what mends it', async (_what, replay, name, state, found, remedy) => {
    const diagnosis = await diagnose(replay);

    expect(lineOf(diagnosis, name)).toMatchObject({
      state,
      found: expect.stringContaining(found),
      remedy: expect.stringContaining(remedy),
    });
    expect(exitCodeOf(diagnosis)).toBe(state === 'fail' ? 2 : 1);
  });

  it('turns red for a pod of runc that is called Kata', async () => {
    const pretended = {
      ...good,
      classes: [runtimeClass({ handler: 'runc' })],
      guest: `kernel=${kernel}\nprobe=done\n`,
      host,
    };
    const diagnosis = await diagnose(pretended, probed);

    expect(lineOf(diagnosis, 'guest kernel')).toMatchObject({
      state: 'fail',
      found: expect.stringContaining('node lab'),
    });
    expect(exitCodeOf(diagnosis)).toBe(2);
  });

  it.each([
    [
      'no /dev/kvm on a machine that could',
      { hasKvm: false, canVirtualize: true, isVirtual: false },
      '/dev/kvm on n',
      'modprobe kvm_intel',
    ],
    [
      'virtualization that is off in the firmware',
      { hasKvm: false, canVirtualize: false, isVirtual: false },
      '/dev/kvm on n',
      'firmware',
    ],
    [
      'a virtual machine without nesting',
      { hasKvm: false, canVirtualize: false, isVirtual: true },
      'nesting on n',
      'nested=1',
    ],
  ])('names %s and what mends it', (_what, facts, name, remedy) => {
    const broken = judgeNode({ name: 'n', ...facts }).filter(({ state }) => state === 'fail');

    expect(broken.find((check) => check.name === name)?.remedy).toContain(remedy);
  });

  it('looks without changing anything unless it may probe, and then leaves no pod behind', async () => {
    const { readFileSync } = await import('node:fs');
    const said = (): string[] => readFileSync(join(folder, 'said'), 'utf8').trim().split('\n');
    const diagnosis = await diagnose(good);
    expect(said().every((line) => line.startsWith('get '))).toBe(true);
    expect(lineOf(diagnosis, 'guest kernel')).toMatchObject({
      state: 'unknown',
      remedy: expect.stringContaining('--probe'),
    });

    await diagnose({ ...good, guest, host }, probed);
    const made = said().filter((line) => line.startsWith('create '));
    expect(made).toHaveLength(2);
    expect(said().filter((line) => line.startsWith('delete '))).toHaveLength(2);
    expect(readFileSync(join(folder, 'made'), 'utf8')).toContain('"readOnly":true');
  });

  it('does not know where kubectl is missing or may not look, and says what to do', async () => {
    const absent = await diagnoseKata(programNamed(join(folder, 'none')), {
      namespace: 'x',
      runtimeClass: 'kata-qemu',
      nodeNamespace: 'x',
    });
    expect(absent.checks).toMatchObject([{ state: 'unknown', remedy: expect.stringContaining('Install kubectl') }]);
    expect(exitCodeOf(absent)).toBe(1);

    const forbidden = await diagnose({ ...good, failing: 'nodes' });
    expect(forbidden.checks).toMatchObject([
      {
        state: 'unknown',
        found: expect.stringContaining('nodes is forbidden'),
        remedy: expect.stringContaining('kubectl auth can-i list nodes'),
      },
    ]);
  });

  it('reads quantities as Kubernetes writes them', () => {
    expect(['512Mi', '2Gi', '1e3', '1500m', '1G', 'x'].map(bytesOf)).toEqual([
      536870912,
      2147483648,
      1000,
      1.5,
      1e9,
      undefined,
    ]);
  });
});
