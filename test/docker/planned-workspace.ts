import { readFileSync } from 'node:fs';
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
  /** What the owner chose; every other parameter has its default. */
  readonly choices: Readonly<Record<string, string>>;
  /** Local images, by what they stand for. */
  readonly images: { readonly opencode: string; readonly executor: string };
}

/**
 * Stays until it is told to end. Coder's agent would also run the scripts of the plan, which workspace-agent.ts does.
 */
const initScript = 'exec sleep infinity';

/**
 * What real Terraform plans for a start of the docker template, with everything known that is known at apply.
 *
 * A template wants every image by digest, and local ones have none: they are planned under a reference of the same
 * form, by their ids, which Docker also takes.
 */
export async function planWorkspace(build: Build): Promise<readonly PlannedResource[]> {
  const { images } = build;
  const pinned = {
    executor_images: [await reference('executor', images.executor)],
    opencode_image: await reference('opencode', images.opencode),
  };
  const plan = await withFakeProviders(
    { 'coder/coder': coderFake, 'kreuzwerker/docker': dockerFake },
    (environment) => planOf('main.tf', template, environment, { ...build.variables, ...pinned }),
    told(build),
    (type, { name }) => {
      if (type === 'coder_agent') return { id: build.agentId, token: build.agentToken, init_script: initScript };
      return type.startsWith('docker_') ? { id: name } : {};
    },
  );
  return (plan.planned_values.root_module.resources ?? []).map(withLocalImage);
}

const told =
  ({ workspaceId, workspaceName, ownerId, choices }: Build): DataValues =>
  (type, configuration) => {
    if (type === 'coder_parameter') return { value: choices[String(configuration.name)] ?? configuration.default };
    if (type === 'coder_workspace') return { id: workspaceId, name: workspaceName, start_count: 1 };
    if (type === 'coder_workspace_owner')
      return { id: ownerId, name: 'ada', full_name: 'Ada L.', email: 'ada@example.test' };
    return {};
  };

const reference = async (name: string, image: string): Promise<string> =>
  `registry.example.com/${name}:1@${await docker('image', 'inspect', '--format', '{{.Id}}', image)}`;

function withLocalImage(resource: PlannedResource): PlannedResource {
  const id = /@(sha256:.*)$/.exec(String(resource.values.image))?.[1];
  return id === undefined ? resource : { ...resource, values: { ...resource.values, image: id } };
}
