import { describe } from '@jest/globals';
import { programNamed, type RunProgram } from '../../scripts/program.ts';
import type { DataValues } from '../support/terraform/fake-providers.ts';
import { withFakeProviders } from '../support/terraform/fake-providers.ts';
import { chosen, planOf } from '../support/terraform/docker-template.ts';
import {
  kubernetesFakes,
  kubernetesForms,
  kubernetesVariables,
  type KubernetesTemplateName,
} from '../support/terraform/kubernetes-template.ts';
import { manifestsOf, type Manifest } from '../support/terraform/planned-kubernetes.ts';

/**
 * The templates' planned pods on a real cluster of one node: scripts/test-kubernetes.sh gives it.
 *
 * Stand-ins: Coder's agent is a shell that waits, and images go by the names under which they were loaded, because the
 * cluster has no registry. Its network plugin stores a NetworkPolicy and does not enforce it.
 */
export const kubeconfig = process.env.KUBECONFIG_LAB;
export const images = {
  executor: process.env.OUTRIGGER_EXECUTOR_IMAGE ?? '',
  opencode: process.env.OUTRIGGER_OPENCODE_IMAGE ?? '',
};
export const withCluster = kubeconfig === undefined ? describe.skip : describe;
/** Tells the objects of one run from those of another. */
export const suffix = String(process.pid);
const standIn = 'trap "exit 0" TERM; echo agent; while :; do sleep 1; done';

/** `kubectl` as the doctor runs it. */
export const kubectlProgram: RunProgram = (words, input) =>
  programNamed('kubectl', 400_000)([`--kubeconfig=${kubeconfig ?? ''}`, ...words], input);

export async function kubectl(words: readonly string[], input = ''): Promise<string> {
  const { code, stdout, stderr } = await kubectlProgram(words, input);
  if (code !== 0) throw new Error(`kubectl ${words.join(' ')}\n${stdout}${stderr}`);
  return stdout + stderr;
}

export const inNamespace = (namespace: string, ...words: string[]): Promise<string> =>
  kubectl(['-n', namespace, ...words]);

interface Container {
  name: string;
  image: string;
  command: (string | null)[];
  env: { name: string; value?: string; valueFrom?: object }[];
}

/** What only a build knows. */
export interface Build {
  readonly workspaceId?: string;
  readonly ownerId?: string;
  /** Of Coder's agent, which only an apply makes. */
  readonly agentId: string;
  readonly agentToken: string;
  readonly proof: string;
}

const anyBuild: Build = {
  agentId: '2c1d7f3e-0000-4000-8000-000000000002',
  agentToken: '2c1d7f3e-0000-4000-8000-000000000001',
  proof: `0123456789ab.${'b'.repeat(64)}`,
};

function withStandIns(manifest: Manifest, { agentId }: Build): Manifest {
  if (manifest.kind !== 'Deployment') return manifest;
  const made = structuredClone(manifest) as Manifest & {
    spec: { template: { spec: { containers: Container[]; initContainers: Container[] } } };
  };
  const { containers, initContainers } = made.spec.template.spec;
  for (const container of [...containers, ...initContainers]) {
    container.image = container.name === 'opencode-init' ? images.opencode : images.executor;
    container.command = container.command.map((word) => word ?? standIn);
    for (const entry of container.env) if (entry.valueFrom === undefined) entry.value ??= agentId;
  }
  return made;
}

const told =
  ({ workspaceId, ownerId }: Build): DataValues =>
  (type, configuration) => ({
    ...chosen({ disk: '1' })(type, configuration),
    ...(type === 'coder_workspace' && workspaceId !== undefined ? { id: workspaceId } : {}),
    ...(type === 'coder_workspace_owner' && ownerId !== undefined ? { id: ownerId } : {}),
  });

/** Applies a workspace of a template into a namespace of its own that enforces Pod Security "restricted". */
export async function start(
  name: KubernetesTemplateName,
  namespace: string,
  given: Readonly<Record<string, unknown>> = {},
  build: Build = anyBuild,
): Promise<void> {
  const values = { ...kubernetesVariables[name], namespace, home_disk_gb: 1, ...given };
  const plan = await withFakeProviders(
    kubernetesFakes,
    async (environment) => await planOf('main.tf', kubernetesForms(name).hcl, environment, values),
    told(build),
  );
  const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' };
  const manifests: object[] = [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels } },
    ...manifestsOf(plan).map((one) => withStandIns(one, build)),
  ];
  const secret = (manifestsOf(plan).find(({ kind }) => kind === 'Deployment')?.metadata.name ?? '') as string;
  const stringData = {
    CODER_AGENT_TOKEN: build.agentToken,
    OUTRIGGER_HARNESS_KEY: 'a'.repeat(64),
    OUTRIGGER_PROOF: build.proof,
  };
  manifests.splice(1, 0, { apiVersion: 'v1', kind: 'Secret', metadata: { name: secret, namespace }, stringData });
  await apply(manifests);
}

/** Applies these objects in their order. */
export async function apply(items: readonly object[]): Promise<void> {
  await kubectl(['apply', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
}

export const selector = 'app.kubernetes.io/name=coder-workspace';

/** Waits for the pod of a workspace. */
export async function podReady(namespace: string): Promise<void> {
  await until(() => inNamespace(namespace, 'get', 'pods', '-o', 'name'), /pod\//);
  await inNamespace(namespace, 'wait', 'pod', '-l', selector, '--for=condition=Ready', '--timeout=300s');
}

/** Runs a shell command in a container of the workspace. */
export async function run(namespace: string, container: string, script: string, input = ''): Promise<string> {
  const deployment = (await inNamespace(namespace, 'get', 'deployment', '-o', 'name')).trim();
  return await kubectl(['-n', namespace, 'exec', '-i', deployment, '-c', container, '--', 'sh', '-c', script], input);
}

/** Asks until an answer holds what is waited for; the test's own time limit ends it. */
export async function until(ask: () => Promise<string>, expected: RegExp): Promise<string> {
  for (;;) {
    const answer = await ask().catch(String);
    if (expected.test(answer)) return answer;
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

export const events = (namespace: string) => () =>
  inNamespace(namespace, 'get', 'events', '-o', 'jsonpath={range .items[*]}{.reason}: {.message}{"\\n"}{end}');
