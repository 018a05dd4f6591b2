import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { docker } from '../support/terraform/planned-docker.ts';
import { coderFake, dockerFake, planOf, type PlannedResource } from '../support/terraform/docker-template.ts';
import { withFakeProviders, type DataValues } from '../support/terraform/fake-providers.ts';

const template = readFileSync(new URL('../../templates/docker/main.tf', import.meta.url), 'utf8');

/** What Coder knows when it plans one start of a workspace. */
export interface Build {
  readonly workspaceId: string;
  readonly workspaceName: string;
  readonly ownerId: string;
  readonly agentId: string;
  readonly agentToken: string;
  /** Values of the template's variables beside those of the images. */
  readonly variables: Readonly<Record<string, unknown>>;
  /** Whether the admin lists the executor as one with an editor. */
  readonly hasIde?: boolean | undefined;
  /** What the owner chose; every other parameter has its default. */
  readonly choices: Readonly<Record<string, string>>;
  /** Local images, by what they stand for; `own` is one that the owner names, where the admin lets them. */
  readonly images: { readonly opencode: string; readonly executor: string; readonly own?: string | undefined };
  /** The owner's sign-in at a git host: Coder gives Terraform its token. */
  readonly externalAuth?: ((id: string) => string) | undefined;
}

/**
 * Stays until it is told to end. Coder's agent would also run the scripts of the plan, which workspace-agent.ts does.
 */
const initScript = 'exec sleep infinity';

/**
 * What real Terraform plans for a start of the docker template, with everything known that is known at apply.
 *
 * A template wants every image by digest, and local ones have none: they are planned under a reference of the same
 * form and the same last name, by their ids, which Docker also takes.
 */
export async function planWorkspace(build: Build): Promise<readonly PlannedResource[]> {
  const { images } = build;
  const own = images.own === undefined ? null : await reference(images.own);
  const executor = await reference(images.executor);
  const pinned = {
    executor_images: [executor],
    opencode_image: await reference(images.opencode),
    ...(own === null ? {} : { allowed_images: [`${registry}/`] }),
  };
  // An editor brings cores along, and Docker refuses more than the machine has.
  const editor = build.hasIde === true ? { ide_images: [executor], max_cpu: cpus().length } : {};
  const named = own === null ? {} : { executor_image: 'own', own_image: own };
  const plan = await withFakeProviders(
    { 'coder/coder': coderFake, 'kreuzwerker/docker': dockerFake },
    (environment) => planOf('main.tf', template, environment, { ...editor, ...build.variables, ...pinned }),
    told({ ...build, choices: { ...named, ...build.choices } }),
    (type, { name }) => {
      if (type === 'coder_agent') return { id: build.agentId, token: build.agentToken, init_script: initScript };
      return type.startsWith('docker_') ? { id: name } : {};
    },
  );
  return (plan.planned_values.root_module.resources ?? []).map(withLocalImage);
}

const told =
  ({ workspaceId, workspaceName, ownerId, choices, externalAuth }: Build): DataValues =>
  (type, configuration) => {
    if (type === 'coder_parameter') return { value: choices[String(configuration.name)] ?? configuration.default };
    if (type === 'coder_workspace')
      return { id: workspaceId, name: workspaceName, start_count: 1, access_url: 'https://coder.example.test' };
    if (type === 'coder_workspace_owner')
      return { id: ownerId, name: 'ada', full_name: 'Ada L.', email: 'ada@example.test' };
    if (type === 'coder_external_auth') return { access_token: externalAuth?.(String(configuration.id)) ?? '' };
    return {};
  };

const registry = 'registry.example.com';

async function reference(image: string): Promise<string> {
  const [, name = 'image'] = /([\w.-]+)(?::[\w.-]+)?(?:@.*)?$/.exec(image) ?? [];
  return `${registry}/${name}:1@${await docker('image', 'inspect', '--format', '{{.Id}}', image)}`;
}

function withLocalImage(resource: PlannedResource): PlannedResource {
  const id = /@(sha256:.*)$/.exec(String(resource.values.image))?.[1];
  return id === undefined ? resource : { ...resource, values: { ...resource.values, image: id } };
}
