import type { PushedTemplate } from './push-template.ts';
import type { TemplatePackage } from './template-package.ts';
import { secretVariable, type Declarations, type Values } from './template-variables.ts';

interface Planned {
  readonly name: string;
  readonly package: TemplatePackage;
  readonly declared: Declarations;
  readonly values: Values;
}

/** Says what was pushed, or would be, as text or JSON (one object where one template was named); never a secret. */
export function reporterOf(output: string, print: (line: string) => void, isOne: boolean) {
  const isJson = output === 'json';
  const json = (values: readonly unknown[]): void => print(JSON.stringify(isOne ? values[0] : values, null, 2));
  return {
    done(pushed: readonly PushedTemplate[]): void {
      if (isJson) return json(pushed);
      for (const one of pushed) for (const line of linesOf(one)) print(line);
    },
    dry(planned: readonly Planned[]): void {
      if (isJson) return json(planned.map(planOf));
      for (const one of planned) {
        const { template, display_name, description, files, archive_bytes, variables } = planOf(one);
        print(`Would push ${template} (${display_name}: ${description}), ${archive_bytes} bytes:`);
        for (const { path, bytes } of files) print(`  ${path}  ${bytes} bytes`);
        print('with the variables:');
        for (const [key, value] of Object.entries(variables)) print(`  ${key} = ${value}`);
      }
      print('Nothing was sent.');
    },
  };
}

function linesOf({ template, version, created, changed, active, kid }: PushedTemplate): readonly string[] {
  if (!changed)
    return [
      `Template ${template} is as it was: version ${version} holds the same files and values. --force makes another, with a new secret.`,
    ];
  if (!active)
    return [
      `Template ${template} has version ${version}, with secret ${kid}; it is not active.`,
      `Next: \`coder templates versions promote --template ${template} --template-version ${version}\` makes it active.`,
    ];
  return [
    `${created ? 'Created' : 'Updated'} template ${template}: version ${version} is active, with secret ${kid}.`,
    created
      ? `Next: \`coder create NAME --template ${template}\` makes a workspace from it.`
      : `Next: workspaces take it when they are updated (\`coder update NAME\`); until then they keep the version and secret they have.`,
  ];
}

function planOf({ name, package: { files, archive, metadata }, values, declared }: Planned) {
  const shown = Object.entries(values).map(([key, value]) => [key, declared[key]?.sensitive ? '[sensitive]' : value]);
  return {
    template: name,
    ...metadata,
    files: [...files].map(([path, text]) => ({ path, bytes: Buffer.byteLength(text) })),
    archive_bytes: archive.length,
    variables: { ...(Object.fromEntries(shown) as Values), [secretVariable]: '[minted by the push]' },
  };
}
