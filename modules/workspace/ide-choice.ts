import { TerraformLocal } from 'cdktf';
import type { Construct } from 'constructs';
import { ideNames, names, ports } from '../contract.ts';
import { expression, interpolation } from '../hcl/expressions.ts';
import { imageName } from './image-name.ts';
import { offerEach, parameter } from './parameter.ts';
import { listOf, rule, variable } from './variable.ts';

const [usual] = ideNames;
const chosenImage = 'data.coder_parameter.executor_image.value';

/** Editors in the chosen image: a list that is empty where it has none. */
const held = 'local.editors';

/** Ports of every workspace that are somebody's already. */
const taken = Object.entries(ports).flatMap(([name, port]) => (name === 'ide' ? [] : [String(port)]));
/** A person's container may not listen below. */
const leastPort = 1024;

/** What the admin says about editors, beside which images hold one. */
export function ideVariables(scope: Construct): void {
  const known = listOf(ideNames);
  variable(scope, 'ide_kinds', {
    description: `Which editors an image of ide_images holds, by the image: ${ideNames.join(', ')}; the first is the default. An image that is not here holds ${usual}. Whoever lists vscode-web accepts the licence of Microsoft's server for everybody.`,
    type: 'map(list(string))',
    default: {},
    validation: [
      rule(
        'alltrue([for image in keys(var.ide_kinds) : contains(var.ide_images, image)])',
        'Name only images that ide_images has, digest included.',
      ),
      rule(
        `alltrue([for kinds in values(var.ide_kinds) : length(kinds) > 0 && length(distinct(kinds)) == length(kinds) && alltrue([for kind in kinds : contains(${known}, kind)])])`,
        `List for each image at least one of ${ideNames.join(', ')}, each once.`,
      ),
    ],
  });
  variable(scope, 'ide_port', {
    description: "Port on 127.0.0.1 of the workspace behind which the editor is; only Coder's proxy knows its path.",
    type: 'number',
    default: ports.ide,
    validation: [
      rule(
        `floor(var.ide_port) == var.ide_port && var.ide_port >= ${String(leastPort)} && var.ide_port <= 65535`,
        `Give a whole number from ${String(leastPort)} to 65535, such as ${String(ports.ide)}.`,
      ),
      rule(
        `!contains([${taken.join(', ')}], var.ide_port)`,
        `Choose another: ${taken.join(' and ')} are OpenCode's and the bridge's in every workspace.`,
      ),
    ],
  });
}

/** Asks which editor, where the image holds several. */
export function ideField(scope: Construct, order: number): void {
  const kind = parameter(scope, {
    name: 'ide',
    displayName: 'Which editor',
    description: 'The image holds several. Each is Visual Studio Code in the browser, on the same files.',
    icon: '/icon/code.svg',
    order,
    type: 'string',
    formType: 'dropdown',
    default: interpolation(`try(${held}[0], "${usual}")`),
    when: `length(${held}) > 1`,
  });
  offerEach(
    kind,
    held,
    'one.value == "openvscode-server" ? "openvscode-server (no release since February 2026)" : one.value',
  );
}

/** The editor in the end, as an expression: one of `ideNames`, or `none` where the image has none. */
export function ideChoice(scope: Construct): string {
  const inImage = `try(var.ide_kinds[image], ["${usual}"]) if ${imageName('image')} == ${chosenImage}`;
  new TerraformLocal(scope, 'local:editors', expression(`flatten([for image in var.ide_images : ${inImage}])`));
  new TerraformLocal(scope, 'local:ide', expression(`try(data.coder_parameter.ide[0].value, ${held}[0], "none")`));
  return 'local.ide';
}

/** The gate of the editor as Coder's agent reaches it, in a Terraform string. */
export const ideAddress = 'http://127.0.0.1:${var.ide_port}';

/** The path under which a browser sees the editor, as an expression; empty with a host of its own. */
export const idePath = (owner: string, workspace: string): string =>
  `var.wildcard_host ? "" : "/@\${${owner}.name}/\${${workspace}.name}.${names.workspaceAgent}/apps/${names.apps.ide}"`;
