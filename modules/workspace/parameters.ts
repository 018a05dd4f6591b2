import type { Construct } from 'constructs';
import { digestPattern, profiles } from '../contract.ts';
import { explain } from '../hcl/comment.ts';
import { interpolation } from '../hcl/expressions.ts';
import { agentMemoryMb, gitDepth } from './choices.ts';
import { ideField } from './ide-choice.ts';
import { imageName } from './image-name.ts';
import { offerEach, parameter, size } from './parameter.ts';
import { listOf } from './variable.ts';

/** An http(s) or ssh address with a host and a path, and nobody's name or password in it. */
const repositoryPattern =
  '^((https?://|ssh://git@)[^/@?#\\s]+/([^@?#\\s]+/)?|git@[^/:@?#\\s]+:([^@?#\\s]+/)?)[A-Za-z0-9_][A-Za-z0-9._-]*/?$|^$';
/** What git accepts as a branch, tag or commit, kept to characters that need no quoting anywhere. */
const refPattern = '^([A-Za-z0-9_][A-Za-z0-9_./-]{0,199})?$';

/** OpenCode alone takes a third of this. */
const leastAgentMemoryMb = 1024;

/** What a person finds in the form before they change it. */
export interface Defaults {
  readonly cpu: number;
  readonly memoryMb: number;
  readonly diskGb: number;
}

export interface FormProps {
  readonly defaults: Defaults;
  /** The least that the platform can start with. */
  readonly leastMemoryMb: number;
  /** Expression that says whether a disk has a size here; without it it always has. */
  readonly diskWhen?: string;
}

const own = 'data.coder_parameter.executor_image.value == "own"';
const advanced = 'tobool(data.coder_parameter.advanced.value)';

/**
 * The form that a workspace's owner fills in: few fields up front, the rest behind a condition.
 *
 * Each is bounded by a variable of the admin, and the service checks those bounds again.
 */
export function workspaceForm(scope: Construct, props: FormProps): void {
  imageFields(scope);
  repositoryFields(scope);
  sizeFields(scope, props);
  ideFields(scope);
  agentFields(scope);
  advancedFields(scope);
}

function imageFields(scope: Construct): void {
  const image = parameter(scope, {
    name: 'executor_image',
    displayName: 'Image',
    description: 'The tools that you and the agent work with. Both containers of the workspace use it.',
    icon: '/icon/container.svg',
    order: 1,
    type: 'string',
    formType: 'dropdown',
    default: interpolation(imageName('var.executor_images[0]')),
  });
  explain(
    image,
    'The form, in its order. Every field is bounded by a variable above; some appear only where others make sense of them.',
  );
  offerEach(
    image,
    `concat([for image in var.executor_images : ${imageName('image')}], length(var.allowed_images) > 0 ? ["own"] : [])`,
    'one.value == "own" ? "An image of your own" : one.value',
  );
  const named = parameter(scope, {
    name: 'own_image',
    displayName: 'Your image',
    description:
      'Any image with sh, git, base64 and curl or wget, made for any user id. It needs neither Node nor OpenCode.',
    icon: '/icon/container.svg',
    order: 2,
    type: 'string',
    formType: 'input',
    default: '',
    styling: JSON.stringify({ placeholder: 'registry.example.com/team/tools:1@sha256:…' }),
    when: own,
  });
  named.addOverride('validation', {
    regex: interpolation(
      `"^(\${join("|", [for prefix in var.allowed_images : replace(prefix, "/[.+]/", "\\\\$0")])})[A-Za-z0-9._/:-]*\${var.allow_unpinned_images ? "(${digestPattern})?" : "${digestPattern}"}$"`,
    ),
    error: interpolation(
      '"Begin with ${join(" or ", var.allowed_images)} and end with a digest, such as ${try(var.allowed_images[0], "")}tools:1@sha256:<64 hex digits>."',
    ),
  });
}

function repositoryFields(scope: Construct): void {
  parameter(scope, {
    name: 'git_repository',
    displayName: 'Repository',
    description: 'Cloned into /workspace at the first start. Leave it empty to begin with an empty folder.',
    icon: '/icon/git.svg',
    order: 3,
    type: 'string',
    formType: 'input',
    default: '',
    styling: JSON.stringify({ placeholder: 'https://git.example.com/team/project.git' }),
    validation: {
      regex: repositoryPattern,
      error:
        'Give an https or ssh address without a user name, password or token in it, such as "https://git.example.com/team/project.git".',
    },
  });
  parameter(scope, {
    name: 'git_ref',
    displayName: 'Branch, tag or commit',
    description: "What to check out after the clone. Leave it empty for the repository's default branch.",
    icon: '/icon/git.svg',
    order: 4,
    type: 'string',
    formType: 'input',
    default: '',
    when: 'data.coder_parameter.git_repository.value != ""',
    validation: {
      regex: refPattern,
      error: 'Give a branch, tag or commit: letters, digits and . _ / - only, such as "release/2".',
    },
  });
}

function sizeFields(scope: Construct, { defaults, leastMemoryMb, diskWhen }: FormProps): void {
  size(scope, {
    name: 'cpu',
    displayName: 'CPU cores',
    description: 'The most that your own container may use.',
    icon: '/icon/memory.svg',
    order: 5,
    formType: 'slider',
    least: 1,
    most: 'var.max_cpu',
    byDefault: defaults.cpu,
  });
  size(scope, {
    name: 'memory',
    displayName: 'Memory (MB)',
    description: 'The most that your own container may use. The agent has memory of its own.',
    icon: '/icon/memory.svg',
    order: 6,
    formType: 'input',
    least: leastMemoryMb,
    most: 'var.max_memory_mb',
    byDefault: defaults.memoryMb,
  });
  size(scope, {
    name: 'disk',
    displayName: 'Disk (GB)',
    description:
      'Room for the repository and what you and the agent build. A workspace keeps the size it was made with.',
    icon: '/icon/database.svg',
    order: 7,
    formType: 'slider',
    least: 1,
    most: 'var.max_disk_gb',
    byDefault: defaults.diskGb,
    mutable: false,
    ...(diskWhen === undefined ? {} : { when: diskWhen }),
  });
}

function ideFields(scope: Construct): void {
  parameter(scope, {
    name: 'ide_enabled',
    displayName: 'Editor in the browser',
    description: 'Start it with the workspace. Without it you still have terminals and SSH.',
    icon: '/icon/code.svg',
    order: 8,
    type: 'bool',
    formType: 'switch',
    default: 'true',
    when: `contains([for image in var.ide_images : ${imageName('image')}], data.coder_parameter.executor_image.value)`,
  });
  ideField(scope, 9);
}

function agentFields(scope: Construct): void {
  const all = listOf(profiles);
  const profile = parameter(scope, {
    name: 'permission_profile',
    displayName: 'What the agent may do without asking',
    description:
      'read-only looks; ask also edits files of the repository and asks for everything else; trusted does all.',
    icon: '/icon/lock.svg',
    order: 10,
    type: 'string',
    formType: 'radio',
    default: interpolation('var.max_profile == "read-only" ? "read-only" : "ask"'),
  });
  offerEach(profile, `slice(${all}, 0, index(${all}, var.max_profile) + 1)`, 'one.value');
  const model = parameter(scope, {
    name: 'model',
    displayName: 'Model',
    description: 'What the agent thinks with, unless a task names another.',
    icon: '/icon/opencode.svg',
    order: 11,
    type: 'string',
    formType: 'dropdown',
    default: interpolation('try(var.allowed_models[0], "")'),
    when: 'length(var.allowed_models) > 1',
  });
  offerEach(model, 'var.allowed_models', 'one.value');
  const mode = parameter(scope, {
    name: 'agent_mode',
    displayName: 'Where the agent runs',
    description: 'sidecar keeps it away from your home folder and tokens; process shares your container with it.',
    icon: '/icon/container.svg',
    order: 12,
    type: 'string',
    formType: 'radio',
    default: interpolation('var.agent_modes[0]'),
    when: 'length(var.agent_modes) > 1',
  });
  offerEach(mode, 'var.agent_modes', 'one.value');
}

function advancedFields(scope: Construct): void {
  parameter(scope, {
    name: 'nix_config',
    displayName: 'workspace.nix',
    description: 'Tools for you and the agent, as a Nix shell. It goes over a workspace.nix of the repository.',
    icon: '/icon/nix.svg',
    order: 13,
    type: 'string',
    formType: 'textarea',
    default: '',
    styling: JSON.stringify({
      placeholder: '{ pkgs ? import <nixpkgs> {} }: pkgs.mkShell { packages = [ pkgs.nodejs ]; }',
    }),
    when: 'can(regex("\\\\bnix\\\\b", data.coder_parameter.executor_image.value))',
  });
  parameter(scope, {
    name: 'advanced',
    displayName: 'More choices',
    description: "Show the size of the agent's container, how much is cloned, and further repositories.",
    icon: '/icon/tools.svg',
    order: 14,
    type: 'bool',
    formType: 'switch',
    default: 'false',
  });
  size(scope, {
    name: 'agent_cpu',
    displayName: "Agent's CPU cores",
    description: "The most that the agent's container may use.",
    icon: '/icon/memory.svg',
    order: 15,
    formType: 'slider',
    least: 1,
    most: 'var.max_cpu',
    byDefault: 1,
    when: advanced,
  });
  const memory = size(scope, {
    name: 'agent_memory',
    displayName: "Agent's memory (MB)",
    description: "The most that the agent's container may use: OpenCode, and what it builds and tests.",
    icon: '/icon/memory.svg',
    order: 16,
    formType: 'input',
    least: leastAgentMemoryMb,
    most: 'var.max_memory_mb',
    byDefault: agentMemoryMb,
    when: advanced,
  });
  memory.addOverride('validation.min', interpolation(`min(${String(leastAgentMemoryMb)}, var.max_memory_mb)`));
  parameter(scope, {
    name: 'more_repositories',
    displayName: 'More repositories',
    description:
      'Cloned beside the first one, each into a folder of its own: an address, with #branch for its branch, then name=… for its folder and autoPush=false to keep finished work local.',
    icon: '/icon/git.svg',
    order: 17,
    type: 'list(string)',
    formType: 'tag-select',
    default: '[]',
    when: advanced,
  });
  parameter(scope, {
    name: 'git_depth',
    displayName: 'History',
    description: 'How many commits are cloned at most; 0 is all of them. More can be fetched later.',
    icon: '/icon/git.svg',
    order: 18,
    type: 'number',
    formType: 'input',
    default: String(gitDepth),
    when: advanced,
    validation: { min: 0, max: 1_000_000, error: 'Give a whole number from {min} to {max}, such as 50; 0 is all.' },
  });
  parameter(scope, {
    name: 'git_submodules',
    displayName: 'Submodules',
    description: 'Clone the submodules of the repositories too.',
    icon: '/icon/git.svg',
    order: 19,
    type: 'bool',
    formType: 'switch',
    default: 'false',
    when: advanced,
  });
}
