import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { AssetType, TerraformAsset, Token } from 'cdktf';
import type { Construct } from 'constructs';
import { expression, interpolation, literal } from '../modules/hcl/expressions.ts';
import { CoderdProvider } from '../modules/providers/generated/coderd/provider/index.ts';
import { Template } from '../modules/providers/generated/coderd/template/index.ts';
import { DeployableStack } from '../modules/service/deployable-stack.ts';
import type { StateBackend } from '../modules/service/state-backend.ts';
import { listOf, optionalText, rule, variable } from '../modules/workspace/variable.ts';
import { catalogMessage } from './catalog-mark.ts';
import { templates, type TemplateEntry } from './templates.ts';

/**
 * The rendered templates as templates of a Coder, for admins who keep their Coder in Terraform.
 *
 * Access   CODER_URL and CODER_SESSION_TOKEN, which the provider reads itself; no variable holds the token.
 * State    holds each template's secret: the provider keeps the variables of a version there. Use an encrypted backend.
 * Owner    a template belongs to this stack or to `outrigger template push`. Coder refuses to make one whose name is
 *          taken, and push refuses one whose versions carry `catalogMessage`.
 */
export class CoderCatalog extends DeployableStack {
  constructor(scope: Construct, id: string, backend: StateBackend) {
    super(scope, id, backend);
    this.requireProvider('coderd', 'coder/coderd', '~> 0.0.23');
    const names = listOf(templates.map(({ name }) => name));
    variable(this, 'templates', {
      description: 'Which templates to publish.',
      type: 'set(string)',
      validation: [
        rule(
          `length(setsubtract(var.templates, ${names})) == 0`,
          `Name only templates that there are: ${templates.map(({ name }) => name).join(', ')}.`,
        ),
      ],
    });
    optionalText(this, 'organization_id', "Id of the templates' organization in Coder; empty: the default one.");
    new CoderdProvider(this, 'provider:coderd');
    for (const entry of templates) publish(this, entry);
  }
}

function publish(scope: Construct, { name, title }: TemplateEntry): void {
  const prefix = name.replaceAll('-', '_');
  variable(scope, `${prefix}_variables`, {
    description: `Variables of the template ${name} but its secret, as text: what is no string is written as JSON.`,
    type: 'map(string)',
    default: {},
  });
  variable(scope, `${prefix}_secret`, {
    description: `Secret of the template ${name}, made by 'outrigger template secret ${name}'.`,
    type: 'string',
    default: '',
    sensitive: true,
    validation: [
      rule(
        `var.${prefix}_secret != "" || !contains(var.templates, "${name}")`,
        `Give the secret of ${name}, made by 'outrigger template secret ${name}'.`,
      ),
    ],
  });
  const folder = fileURLToPath(new URL(`../templates/${name}`, import.meta.url));
  if (!existsSync(`${folder}/main.tf`)) {
    throw new Error(`templates/${name}/main.tf is not there. Render it with 'outrigger template render ${name}'.`);
  }
  // A fixed hash keeps the path; the provider itself sees what changed in the folder.
  const asset = new TerraformAsset(scope, `asset:${name}`, {
    path: folder,
    type: AssetType.DIRECTORY,
    assetHash: 'files',
  });
  const about = frontMatter(readFileSync(`${folder}/README.md`, 'utf8'));
  new Template(scope, `template:${name}`, {
    count: Token.asNumber(interpolation(`contains(var.templates, "${name}") ? 1 : 0`)),
    name,
    displayName: literal(about.display_name ?? title),
    description: literal(about.description ?? ''),
    icon: literal(about.icon ?? ''),
    organizationId: interpolation('var.organization_id == "" ? null : var.organization_id'),
    versions: [
      {
        directory: asset.path,
        active: true,
        message: catalogMessage,
        tfVars: expression(
          `[for name, value in merge(var.${prefix}_variables, { outrigger_secret = var.${prefix}_secret }) : { name = name, value = value }]`,
        ),
      },
    ],
  });
}

/** The one-line texts of a README's front matter. */
function frontMatter(readme: string): Readonly<Record<string, string>> {
  const lines = /^---\n([\s\S]*?)\n---\n/.exec(readme)?.[1]?.split('\n') ?? [];
  const pairs = lines.flatMap((line) => {
    const [, key, text] = /^(\w+): *(.+)$/.exec(line) ?? [];
    return key === undefined || text === undefined ? [] : [[key, text.replace(/^(["'])(.*)\1$/, '$2')] as const];
  });
  return Object.fromEntries(pairs);
}
