import { TerraformLocal } from 'cdktf';
import type { Construct } from 'constructs';
import { paths } from '../contract.ts';
import { expression } from '../hcl/expressions.ts';
import { ideChoice } from './ide-choice.ts';
import { imageName } from './image-name.ts';

/** What an IDE adds to the worker's limits (C-36). */
const ideCpu = 2;
const ideMemoryMb = 2048;

/** What the agent gets unless its owner says otherwise (C-36), as far as the admin allows it. */
export const agentMemoryMb = 4096;
/** Commits that are cloned unless the owner says otherwise (C-09). */
export const gitDepth = 1;

/**
 * `ADDRESS[#BRANCH] [name=FOLDER] [autoPush=false]`, for RE2 in a Terraform string. What does not fit is kept whole, and
 * refused where it would be cloned.
 */
const repositoryLine = String.raw`^([^#\\s]+)(?:#(\\S+))?((?: +(?:name=\\S+|autoPush=(?:true|false)))*)$`;
const folderWord = String.raw`name=(\\S+)`;

const choice = (name: string): string => `data.coder_parameter.${name}[0].value`;

/**
 * What was chosen in the end, as Terraform expressions: the form, its hidden fields filled in, the admin's defaults.
 *
 * Everything else in a template reads these, so a field may come and go with its condition in one place.
 */
export interface Choices {
  readonly image: string;
  readonly repository: string;
  readonly ref: string;
  /** JSON of further repositories: `[{"url", "branch", "name", "autoPush"}]`. */
  readonly moreRepositories: string;
  /** Text of how many commits are cloned, and whether submodules are: `true` or `false`. */
  readonly gitDepth: string;
  readonly gitSubmodules: string;
  /** Where the first repository lies, or the workspace. */
  readonly folder: string;
  /** Whether the image holds an IDE at all. */
  readonly hasIde: string;
  /** Which one, or `none`. */
  readonly ide: string;
  readonly ideEnabled: string;
  readonly agentMode: string;
  readonly profile: string;
  /** Whether the image is called one with Nix. */
  readonly hasNix: string;
  readonly nixConfig: string;
  readonly workerCpu: string;
  readonly workerMemoryMb: string;
  readonly agentCpu: string;
  readonly agentMemoryMb: string;
}

export function choicesOf(scope: Construct): Choices {
  const local = (name: string, hcl: string): string => {
    new TerraformLocal(scope, `local:${name}`, expression(hcl));
    return `local.${name}`;
  };
  const image = 'data.coder_parameter.executor_image.value';
  const repository = 'data.coder_parameter.git_repository.value';
  const cpu = 'tonumber(data.coder_parameter.cpu.value)';
  local('images', `{ for image in var.executor_images : ${imageName('image')} => image }`);
  const ide = ideChoice(scope);
  const listed = local(
    'listed_repositories',
    `[for text in jsondecode(try(${choice('more_repositories')}, "[]")) : try(regex("${repositoryLine}", text), [text, null, null])]`,
  );
  const hasIde = local('has_ide', `${ide} != "none"`);
  return {
    image: local('executor_image', `${image} == "own" ? ${choice('own_image')} : local.images[${image}]`),
    repository,
    ref: local('git_ref', `try(${choice('git_ref')}, "")`),
    moreRepositories: local(
      'more_repositories',
      `jsonencode([for one in ${listed} : { url = one[0], branch = one[1], name = try(regex("${folderWord}", one[2])[0], null), autoPush = !can(regex("autoPush=false", one[2])) }])`,
    ),
    gitDepth: `try(${choice('git_depth')}, "${String(gitDepth)}")`,
    gitSubmodules: `try(${choice('git_submodules')}, "false")`,
    folder: local(
      'folder',
      `join("/", compact(["${paths.workspace}", try(regex("([^/:]+?)(?:\\\\.git)?/?$", ${repository})[0], "")]))`,
    ),
    hasIde,
    ide,
    ideEnabled: local('ide_enabled', `try(tobool(${choice('ide_enabled')}), false)`),
    agentMode: local('agent_mode', `try(${choice('agent_mode')}, var.agent_modes[0])`),
    profile: 'data.coder_parameter.permission_profile.value',
    hasNix: local('has_nix', 'can(regex("\\\\bnix\\\\b", local.executor_image))'),
    nixConfig: local('nix_config', `try(${choice('nix_config')}, "")`),
    // Docker refuses a limit above the cores of its host, and max_cpu is where an admin says how many those are.
    workerCpu: local('worker_cpu', `${hasIde} ? max(${cpu}, min(${cpu} + ${String(ideCpu)}, var.max_cpu)) : ${cpu}`),
    workerMemoryMb: local(
      'worker_memory_mb',
      `data.coder_parameter.memory.value + (${hasIde} ? ${String(ideMemoryMb)} : 0)`,
    ),
    agentCpu: local('agent_cpu', `try(tonumber(${choice('agent_cpu')}), 1)`),
    agentMemoryMb: local(
      'agent_memory_mb',
      `try(tonumber(${choice('agent_memory')}), min(${String(agentMemoryMb)}, var.max_memory_mb))`,
    ),
  };
}
