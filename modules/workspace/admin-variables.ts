import { TerraformVariable, type TerraformVariableConfig } from 'cdktf';
import type { Construct } from 'constructs';
import { profiles, tokenPrefix } from '../contract.ts';
import { interpolation } from '../hcl/expressions.ts';

const pinned = '@sha256:[0-9a-f]{64}$';
const exampleImage = 'registry.example.com/base:1@sha256:<64 hex digits>';
const secretPattern = `^${tokenPrefix.templateSecret}[0-9A-Za-z-]+_[0-9A-Za-z_-]{43}$`;

/** At most this many attempts run at once in one workspace (design §10.1). */
const maximumSlots = 4;

/**
 * What the admin decides for every workspace of a template: the variables that every platform shares.
 *
 * None that names an image or holds a secret has a default: `outrigger template push` fills them.
 */
export class AdminVariables {
  readonly outriggerUrl: TerraformVariable;
  readonly outriggerSecret: TerraformVariable;
  readonly executorImages: TerraformVariable;
  readonly opencodeImage: TerraformVariable;
  readonly maxProfile: TerraformVariable;
  readonly agentSlots: TerraformVariable;
  readonly maxCpu: TerraformVariable;
  readonly maxMemoryGib: TerraformVariable;
  readonly arch: TerraformVariable;

  constructor(scope: Construct) {
    this.outriggerUrl = variable(scope, 'outrigger_url', {
      description: 'How workspaces and browsers reach Outrigger, such as "https://outrigger.example.com".',
      type: 'string',
      validation: [
        rule(
          'can(regex("^https?://[^/?#@]+$", var.outrigger_url))',
          'Give a scheme and a host, and nothing after them, such as "https://outrigger.example.com".',
        ),
      ],
    });
    this.outriggerSecret = variable(scope, 'outrigger_secret', {
      description:
        'Secret of this template version, minted by "outrigger template push" or "outrigger template secret".',
      type: 'string',
      sensitive: true,
      validation: [
        rule(
          `can(regex("${secretPattern}", var.outrigger_secret))`,
          'This is no template secret. Make one with "outrigger template secret NAME".',
        ),
      ],
    });
    this.executorImages = variable(scope, 'executor_images', {
      description:
        'Images that people may choose for their workspace, each pinned by digest; the first is the default.',
      type: 'list(string)',
      validation: [
        rule('length(var.executor_images) > 0', 'Offer at least one image.'),
        rule(
          `alltrue([for image in var.executor_images : can(regex("${pinned}", image))])`,
          `Pin every image by digest, such as "${exampleImage}".`,
        ),
        rule(
          'length(distinct([for image in var.executor_images : split("@", image)[0]])) == length(var.executor_images)',
          'Give every image a name or tag of its own: people choose by it.',
        ),
      ],
    });
    this.opencodeImage = variable(scope, 'opencode_image', {
      description: "Outrigger's own image, pinned by digest. It brings OpenCode and the bridge into the workspace.",
      type: 'string',
      validation: [
        rule(`can(regex("${pinned}", var.opencode_image))`, `Pin the image by digest, such as "${exampleImage}".`),
      ],
    });
    this.maxProfile = oneOf(
      scope,
      'max_profile',
      'The most that an agent may be allowed to do without asking',
      profiles,
      'ask',
    );
    this.agentSlots = wholeNumber(
      scope,
      'agent_slots',
      'How many attempts may run at once in one workspace.',
      1,
      maximumSlots,
    );
    this.maxCpu = wholeNumber(scope, 'max_cpu', 'The most CPU cores that a person may choose.', 8, 256);
    this.maxMemoryGib = wholeNumber(
      scope,
      'max_memory_gib',
      'The most memory in GiB that a person may choose.',
      16,
      1024,
    );
    this.arch = oneOf(
      scope,
      'arch',
      'Architecture of the machine that runs the workspaces',
      ['amd64', 'arm64'],
      'amd64',
    );
  }
}

function variable(scope: Construct, name: string, config: TerraformVariableConfig): TerraformVariable {
  return new TerraformVariable(scope, `variable:${name}`, { nullable: false, ...config });
}

function rule(condition: string, errorMessage: string) {
  return { condition: interpolation(condition), errorMessage };
}

function oneOf(
  scope: Construct,
  name: string,
  description: string,
  values: readonly string[],
  byDefault: string,
): TerraformVariable {
  const choices = values.join(', ');
  return variable(scope, name, {
    description: `${description}: ${choices}.`,
    type: 'string',
    default: byDefault,
    validation: [
      rule(`contains([${values.map((value) => `"${value}"`).join(', ')}], var.${name})`, `Choose one of ${choices}.`),
    ],
  });
}

function wholeNumber(
  scope: Construct,
  name: string,
  description: string,
  byDefault: number,
  most: number,
): TerraformVariable {
  const value = `var.${name}`;
  return variable(scope, name, {
    description,
    type: 'number',
    default: byDefault,
    validation: [
      rule(
        `floor(${value}) == ${value} && ${value} >= 1 && ${value} <= ${String(most)}`,
        `Give a whole number from 1 to ${String(most)}.`,
      ),
    ],
  });
}
