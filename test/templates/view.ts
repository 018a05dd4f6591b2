import { containersOf, at, type AnyContainer } from '../../modules/policy/containers.ts';
import { blocksOf, declarations, type Body, type Declared } from '../../modules/policy/template.ts';
import { synthesizeTemplate } from '../../scripts/template.ts';
import { templates } from '../../stacks/templates.ts';
import { chosen, coderFake, dockerFake, planOf, variables, type Plan } from '../support/terraform/docker-template.ts';
import { withFakeProviders } from '../support/terraform/fake-providers.ts';
import {
  firstOf,
  kubernetesFake,
  kubernetesVariables,
  planned,
  plannedPod,
} from '../support/terraform/kubernetes-template.ts';

/** One synthesized template, read the same way whatever its platform. */
export interface View {
  readonly name: string;
  readonly isDocker: boolean;
  /** The whole synthesized JSON, as text. */
  readonly text: string;
  readonly all: readonly Declared[];
  readonly containers: readonly AnyContainer[];
  /** What an address declares. Throws where there is none. */
  readonly body: (address: string) => Body;
  /** Throws where there is none of this name. */
  readonly container: (name: string) => AnyContainer;
  /** Everything that a container is given, by name: values, and for a pod the names of its secrets. */
  readonly given: (name: string) => readonly string[];
}

export const views: readonly View[] = templates.map((entry) => {
  const json = synthesizeTemplate(entry);
  const all = declarations(json);
  const containers = all.flatMap(containersOf);
  const container = (name: string): AnyContainer => found(containers, (one) => one.name === name, name);
  return {
    name: entry.name,
    isDocker: all.some(({ type }) => type === 'docker_container'),
    text: JSON.stringify(json),
    all,
    containers,
    body: (address) => found(all, (one) => one.address === address, address).body,
    container,
    given: (name) => [
      ...Object.keys(container(name).environment),
      ...blocksOf(container(name).body, 'env').flatMap(({ name: key, value }) =>
        value === undefined ? [String(key)] : [],
      ),
    ],
  };
});

/** For `describe.each`: the name, and what it names. */
export const everyTemplate = views.map((view) => [view.name, view] as const);

function found<One>(all: readonly One[], is: (one: One) => boolean, name: string): One {
  const one = all.find(is);
  if (one === undefined) throw new Error(`The template has no ${name}.`);
  return one;
}

/** The pod's description; empty on Docker, which has no pods. */
export const podIn = (view: View): Body =>
  view.isDocker ? {} : at(view.body('kubernetes_deployment_v1.workspace'), 'spec', 'template', 'spec');

/** The items that Coder shows on the worker's resource, by key. */
export const factsOf = (view: View): Body =>
  Object.fromEntries(
    blocksOf(view.body('coder_metadata.worker'), 'item').map(({ key, value }) => [String(key), value]),
  );

/** One container of a plan. CPU in cores, memory in MiB; requests only where the platform has them. */
export interface PlannedContainer {
  readonly name: string;
  readonly image: string;
  readonly limits: Amounts;
  readonly requests: Amounts | null;
}
export interface Amounts {
  readonly cpu: number;
  readonly memoryMib: number;
}

/** What real Terraform plans for a started workspace, with an admin's variables and an owner's choices. */
export async function planTemplate(
  { name, isDocker }: View,
  admin: Readonly<Record<string, unknown>> = {},
  owner: Readonly<Record<string, string>> = {},
): Promise<Plan> {
  const fakes = {
    'coder/coder': coderFake,
    ...(isDocker ? { 'kreuzwerker/docker': dockerFake } : { 'hashicorp/kubernetes': kubernetesFake }),
  };
  const given = isDocker ? variables : kubernetesVariables[name as 'kubernetes' | 'kata'];
  const text = views.find((view) => view.name === name)?.text ?? '';
  return await withFakeProviders(
    fakes,
    async (environment) => await planOf('main.tf.json', text, environment, { ...given, ...admin }),
    chosen(owner),
  );
}

/** The containers of a plan that stay, by name. */
export function plannedContainers(plan: Plan): Readonly<Record<string, PlannedContainer>> {
  const docker = (plan.planned_values.root_module.resources ?? [])
    .filter(({ type, values }) => type === 'docker_container' && values.must_run !== false)
    .map(({ name, values }) => ({
      name,
      image: String(values.image),
      limits: { cpu: Number(values.cpus), memoryMib: Number(values.memory) },
      requests: null,
    }));
  const pod = docker.length > 0 ? [] : ((plannedPod(plan).container ?? []) as Body[]).map(inPod);
  return Object.fromEntries([...docker, ...pod].map((one) => [one.name, one]));
}

function inPod(body: Body): PlannedContainer {
  const { limits, requests } = firstOf(body, 'resources') as Record<string, Record<string, string>>;
  return { name: String(body.name), image: String(body.image), limits: amounts(limits), requests: amounts(requests) };
}

const amounts = (all: Readonly<Record<string, string>> = {}): Amounts => ({
  cpu: cores(all.cpu ?? ''),
  memoryMib: mebibytes(all.memory ?? ''),
});

/** Of a quantity such as "200m" or "2". */
export const cores = (text: string): number => (text.endsWith('m') ? Number(text.slice(0, -1)) / 1000 : Number(text));

/** Of a quantity such as "512Mi" or "2Gi". */
export const mebibytes = (text: string): number => Number(text.slice(0, -2)) * (text.endsWith('Gi') ? 1024 : 1);

/** Whether a plan holds a resource of this address. */
export const isPlanned = (plan: Plan, address: string): boolean => planned(plan, address) !== undefined;

/** The folder that a person's shells begin in. */
export const plannedFolder = (plan: Plan): unknown =>
  (planned(plan, 'coder_agent.main')?.['env'] as Body | undefined)?.['WORKSPACE_FOLDER'];
