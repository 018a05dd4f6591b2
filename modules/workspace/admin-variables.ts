import type { TerraformVariable } from 'cdktf';
import type { Construct } from 'constructs';
import { digestPattern, agentModes, profiles, tokenPrefix } from '../contract.ts';
import { explain } from '../hcl/comment.ts';
import { ideVariables } from './ide-choice.ts';
import { imageName } from './image-name.ts';
import { flag, oneOf, optionalText, rule, someOf, variable, wholeNumber } from './variable.ts';

const pinned = `${digestPattern}$`;
/** What may stand inside a quoted HCL string as it is. Source: the grammar of distribution/reference. */
const imageReference = /^[a-zA-Z0-9][a-zA-Z0-9._:/@-]{0,511}$/;
const exampleImage = 'registry.example.com/base:1@sha256:<64 hex digits>';
const secretPattern = `^${tokenPrefix.templateSecret}[0-9A-Za-z-]+_[0-9A-Za-z_-]{43}$`;

/** At most this many attempts run at once in one workspace (design §10.1). */
const maximumSlots = 4;

/** Bounds of the sizes that a person may choose. */
export interface SizeBounds {
  readonly leastMemoryMb: number;
  readonly mostCpu: number;
  readonly mostMemoryMb: number;
  readonly mostDiskGb: number;
}

export interface AdminVariablesProps {
  readonly sizes: SizeBounds;
  /** The most an agent may do without asking, unless the admin says otherwise (design §9). */
  readonly maxProfile: (typeof profiles)[number];
  /** The one image that the template names itself; without it none. It may go without a digest. */
  readonly image?: string;
}

/**
 * What the admin decides for every workspace of a template: the variables that every platform shares.
 *
 * Every choice of an owner has its bound here. None that names an image or holds a secret has a default that anybody
 * would have to be able to pull or know: `outrigger template push` fills them.
 */
export class AdminVariables {
  readonly opencodeImage: TerraformVariable;
  readonly arch: TerraformVariable;

  constructor(scope: Construct, props: AdminVariablesProps) {
    serviceVariables(scope);
    this.opencodeImage = openCodeImage(scope);
    imageVariables(scope, props.image);
    agentVariables(scope, props);
    sizeVariables(scope, props.sizes);
    networkVariables(scope);
    this.arch = oneOf(
      scope,
      'arch',
      'Architecture of the machine that runs the workspaces',
      ['amd64', 'arm64'],
      'amd64',
    );
  }
}

function serviceVariables(scope: Construct): void {
  const url = variable(scope, 'outrigger_url', {
    description: 'How workspaces reach Outrigger, such as "https://outrigger.example.com".',
    type: 'string',
    validation: [
      rule(
        'can(regex("^https?://[^/?#@]+$", var.outrigger_url))',
        'Give a scheme and a host, and nothing after them, such as "https://outrigger.example.com".',
      ),
    ],
  });
  explain(
    url,
    'What has no default is given by `outrigger template push`: the service, a secret of this version, the images.',
  );
  variable(scope, 'outrigger_secret', {
    description: 'Secret of this template version, minted by "outrigger template push" or "outrigger template secret".',
    type: 'string',
    sensitive: true,
    validation: [
      rule(
        `can(regex("${secretPattern}", var.outrigger_secret))`,
        'This is no template secret. Make one with "outrigger template secret NAME".',
      ),
    ],
  });
  const page = optionalText(
    scope,
    'outrigger_page_url',
    'Where browsers find a page /workspace/ID of each workspace, for the app outrigger; empty: there is no such app.',
    [
      // A `$` would let Coder write the person's session token into the address.
      rule(
        'var.outrigger_page_url == "" || can(regex("^https?://[^/?#@$[:space:]]+$", var.outrigger_page_url))',
        'Give a scheme and a host, and nothing after them, such as "https://outrigger.example.com".',
      ),
    ],
  );
  explain(page, 'The address of workspaces may be one that no browser reaches, so this is another.');
}

function imageVariables(scope: Construct, given: string | undefined): void {
  const offered = 'var.executor_images';
  if (given !== undefined && !imageReference.test(given)) {
    throw new Error(`${JSON.stringify(given)} is no image. Give a name with a tag or digest, such as "ubuntu:24.04".`);
  }
  const accepted = given === undefined ? '' : ` || image == "${given}"`;
  variable(scope, 'executor_images', {
    description: 'Images that people may choose for their workspace, each pinned by digest; the first is the default.',
    type: 'list(string)',
    ...(given === undefined ? {} : { default: [given] }),
    validation: [
      rule(`length(${offered}) > 0`, 'Offer at least one image.'),
      rule(
        `alltrue([for image in ${offered} : can(regex("${pinned}", image))${accepted}])`,
        `Pin every image by digest, such as "${exampleImage}".`,
      ),
      rule(
        `length(distinct([for image in ${offered} : ${imageName('image')}])) == length(${offered})`,
        'Give every image a name of its own, whatever its tag: people choose by it and keep it when its version changes.',
      ),
    ],
  });
  ownSubset(scope, 'ide_images', 'list(string)', 'The ones of executor_images that hold an editor.', []);
  ideVariables(scope);
  variable(scope, 'allowed_extensions', {
    description: 'Extensions that the editor may install, "publisher.name" or "publisher"; ["*"] is all, [] is none.',
    type: 'list(string)',
    default: [],
    validation: [
      rule(
        'alltrue([for one in var.allowed_extensions : can(regex("^([*]|[A-Za-z0-9][A-Za-z0-9-]*([.][A-Za-z0-9-]+)?)$", one))])',
        'Name each by its publisher, such as "redhat.vscode-yaml".',
      ),
    ],
  });
  ownSubset(
    scope,
    'preset_images',
    'map(string)',
    'The image of each preset, by its name (node, python, rust, full-stack, nix); otherwise the first image.',
    {},
  );
  const own = variable(scope, 'allowed_images', {
    description:
      'How an image that a person names may begin, such as "registry.example.com/team/"; empty: nobody names one.',
    type: 'list(string)',
    default: [],
    validation: [
      rule(
        'alltrue([for prefix in var.allowed_images : can(regex("^[a-z0-9.:-]+/", prefix))])',
        'Begin each with a registry and a slash, such as "registry.example.com/team/".',
      ),
    ],
  });
  explain(own, 'What a person may choose. The service holds every build against the same bounds.');
  flag(scope, 'allow_unpinned_images', 'Whether an image that a person names may go without its digest.');
}

function openCodeImage(scope: Construct): TerraformVariable {
  return variable(scope, 'opencode_image', {
    description: "Outrigger's own image, pinned by digest. It brings OpenCode and the bridge into the workspace.",
    type: 'string',
    validation: [
      rule(`can(regex("${pinned}", var.opencode_image))`, `Pin the image by digest, such as "${exampleImage}".`),
    ],
  });
}

/** Images that must be among those offered, so that the form never names one it would refuse. */
function ownSubset(scope: Construct, name: string, type: string, description: string, byDefault: unknown): void {
  variable(scope, name, {
    description,
    type,
    default: byDefault,
    validation: [
      rule(
        `alltrue([for image in var.${name} : contains(var.executor_images, image)])`,
        'Name only images that executor_images offers, digest included.',
      ),
    ],
  });
}

function agentVariables(scope: Construct, { maxProfile }: AdminVariablesProps): void {
  oneOf(scope, 'max_profile', 'The most that an agent may be allowed to do without asking', profiles, maxProfile);
  variable(scope, 'allowed_models', {
    description: "Models that people may choose; the first is the default. Empty: the service's own default.",
    type: 'list(string)',
    default: [],
    validation: [rule('length(distinct(var.allowed_models)) == length(var.allowed_models)', 'List every model once.')],
  });
  someOf(
    scope,
    'agent_modes',
    'Where the agent may run, in a container of its own or beside the person; the first is the default',
    agentModes,
    ['sidecar'],
  );
  wholeNumber(scope, 'agent_slots', 'How many attempts may run at once in one workspace.', 1, [1, maximumSlots]);
}

function sizeVariables(scope: Construct, { leastMemoryMb, mostCpu, mostMemoryMb, mostDiskGb }: SizeBounds): void {
  wholeNumber(scope, 'max_cpu', 'The most CPU cores that a person may choose.', mostCpu, [1, 256]);
  wholeNumber(scope, 'max_memory_mb', 'The most memory in MB that a person may choose.', mostMemoryMb, [
    leastMemoryMb,
    1_048_576,
  ]);
  wholeNumber(scope, 'max_disk_gb', 'The most disk in GB that a person may choose.', mostDiskGb, [1, 65_536]);
}

function networkVariables(scope: Construct): void {
  const host = flag(
    scope,
    'wildcard_host',
    'Whether Coder has a wildcard host (CODER_WILDCARD_ACCESS_URL): the editor then gets an origin of its own.',
  );
  explain(host, 'How workspaces reach Coder, git and the network.');
  optionalText(
    scope,
    'external_auth_id',
    'Id of Coder\'s external authentication for git, such as "primary-github"; empty: none is asked for.',
  );
  optionalText(scope, 'custom_ca', 'Certificates in PEM that workspaces trust beside those of their image.', [
    rule(
      'var.custom_ca == "" || can(regex("-----BEGIN CERTIFICATE-----", var.custom_ca))',
      'Give the certificates in PEM, beginning with "-----BEGIN CERTIFICATE-----".',
    ),
  ]);
  for (const [name, scheme] of [
    ['http_proxy', 'http'],
    ['https_proxy', 'https'],
  ] as const) {
    optionalText(scope, name, `Proxy of workspaces for ${scheme}, such as "http://proxy.example.com:3128".`, [
      rule(
        `var.${name} == "" || can(regex("^https?://[^/?#@]+/?$", var.${name}))`,
        'Give a scheme and a host without a user name or password, such as "http://proxy.example.com:3128".',
      ),
    ]);
  }
  optionalText(scope, 'no_proxy', 'Hosts that workspaces reach without the proxy, separated by commas.');
}
