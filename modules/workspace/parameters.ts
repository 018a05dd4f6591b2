import type { Construct } from 'constructs';
import { profiles } from '../contract.ts';
import { interpolation } from '../hcl/expressions.ts';
import { DataCoderParameter } from '../providers/generated/coder/data-coder-parameter/index.ts';

/** An http(s) address with a host and a path, and nobody's name or password in it. */
const repositoryPattern = '^(https?://[^/@\\s]+/[^@\\s]+|ssh://git@[^/@\\s]+/[^@\\s]+|git@[^/:@\\s]+:[^@\\s]+)?$';
/** What git accepts as a branch, tag or commit, kept to characters that need no quoting anywhere. */
const refPattern = '^([A-Za-z0-9_][A-Za-z0-9_./-]{0,199})?$';

/** What a workspace's owner chooses. Each is bounded by a variable of the admin. */
export class WorkspaceParameters {
  readonly executorImage: DataCoderParameter;
  readonly gitRepository: DataCoderParameter;
  readonly gitRef: DataCoderParameter;
  readonly cpu: DataCoderParameter;
  readonly memory: DataCoderParameter;
  readonly permissionProfile: DataCoderParameter;

  constructor(scope: Construct) {
    this.executorImage = new DataCoderParameter(scope, 'parameter:executor_image', {
      name: 'executor_image',
      displayName: 'Image',
      description: 'The tools that you and the agent work with. Both containers of the workspace use it.',
      icon: '/icon/container.svg',
      order: 1,
      type: 'string',
      formType: 'dropdown',
      mutable: true,
      default: interpolation('var.executor_images[0]'),
    });
    this.executorImage.addOverride('dynamic.option', [
      {
        for_each: interpolation('var.executor_images'),
        iterator: 'image',
        content: {
          name: interpolation('split("@", image.value)[0]'),
          value: interpolation('image.value'),
        },
      },
    ]);
    this.gitRepository = new DataCoderParameter(scope, 'parameter:git_repository', {
      name: 'git_repository',
      displayName: 'Repository',
      description: 'Cloned into /workspace at the first start. Leave it empty to begin with an empty folder.',
      icon: '/icon/git.svg',
      order: 2,
      type: 'string',
      formType: 'input',
      mutable: true,
      default: '',
      styling: JSON.stringify({ placeholder: 'https://git.example.com/team/project.git' }),
      validation: {
        regex: repositoryPattern,
        error: 'Give an https or ssh address without a user name, password or token in it.',
      },
    });
    this.gitRef = new DataCoderParameter(scope, 'parameter:git_ref', {
      name: 'git_ref',
      displayName: 'Branch, tag or commit',
      description: "What to check out after the clone. Leave it empty for the repository's default branch.",
      icon: '/icon/git.svg',
      order: 3,
      type: 'string',
      formType: 'input',
      mutable: true,
      default: '',
      validation: { regex: refPattern, error: 'Give a branch, tag or commit: letters, digits and . _ / - only.' },
    });
    this.cpu = sizeParameter(scope, {
      name: 'cpu',
      displayName: 'CPU cores',
      description: 'Upper limit of CPU cores, for you and for the agent each.',
      order: 4,
      most: 'var.max_cpu',
      byDefault: 2,
    });
    this.memory = sizeParameter(scope, {
      name: 'memory',
      displayName: 'Memory (GiB)',
      description: 'Upper limit of memory for your own container. The agent has 4 GiB of its own.',
      order: 5,
      most: 'var.max_memory_gib',
      byDefault: 4,
    });
    this.permissionProfile = profileParameter(scope);
  }
}

interface Size {
  readonly name: string;
  readonly displayName: string;
  readonly description: string;
  readonly order: number;
  /** Expression of the admin's bound. */
  readonly most: string;
  readonly byDefault: number;
}

function sizeParameter(scope: Construct, size: Size): DataCoderParameter {
  const parameter = new DataCoderParameter(scope, `parameter:${size.name}`, {
    name: size.name,
    displayName: size.displayName,
    description: size.description,
    icon: '/icon/memory.svg',
    order: size.order,
    type: 'number',
    formType: 'slider',
    mutable: true,
    default: interpolation(`tostring(min(${String(size.byDefault)}, ${size.most}))`),
    validation: { min: 1 },
  });
  parameter.addOverride('validation.max', interpolation(size.most));
  return parameter;
}

/** Offers the profiles up to the admin's maximum, so a form cannot ask for more. */
function profileParameter(scope: Construct): DataCoderParameter {
  const all = JSON.stringify(profiles).replaceAll(',', ', ');
  const allowed = `slice(${all}, 0, index(${all}, var.max_profile) + 1)`;
  const parameter = new DataCoderParameter(scope, 'parameter:permission_profile', {
    name: 'permission_profile',
    displayName: 'What the agent may do without asking',
    description:
      'read-only looks; ask also edits files of the repository and asks for everything else; trusted does all.',
    icon: '/icon/lock.svg',
    order: 6,
    type: 'string',
    formType: 'radio',
    mutable: true,
    default: interpolation('var.max_profile == "read-only" ? "read-only" : "ask"'),
  });
  parameter.addOverride('dynamic.option', [
    {
      for_each: interpolation(allowed),
      iterator: 'profile',
      content: { name: interpolation('profile.value'), value: interpolation('profile.value') },
    },
  ]);
  return parameter;
}
