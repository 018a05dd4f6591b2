import type { PushedTemplate } from './push-template.ts';
import type { TemplatePackage } from './template-package.ts';
import { secretVariable, type Declarations, type Values } from './template-variables.ts';

/** Says what was pushed, or would be, as text or JSON; never a secret. */
export function reporterOf(output: string, print: (line: string) => void) {
  const isJson = output === 'json';
  const json = (value: unknown): void => print(JSON.stringify(value, null, 2));
  return {
    done(pushed: PushedTemplate): void {
      if (isJson) return json(pushed);
      const { template, version, created, kid } = pushed;
      print(
        `${created ? 'Created' : 'Updated'} template ${template}: version ${version} is active, with secret ${kid}.`,
      );
      print(
        created
          ? `Next: \`coder create NAME --template ${template}\` makes a workspace from it.`
          : `Next: workspaces take it when they are updated (\`coder update NAME\`); until then they keep the version and secret they have.`,
      );
    },
    dry(name: string, { files, archive, metadata }: TemplatePackage, values: Values, declared: Declarations): void {
      const shown: Values = {
        ...Object.fromEntries(
          Object.entries(values).map(([key, value]) => [key, declared[key]?.sensitive ? '[sensitive]' : value]),
        ),
        [secretVariable]: '[minted by the push]',
      };
      const sizes = [...files].map(([path, text]) => ({ path, bytes: Buffer.byteLength(text) }));
      if (isJson)
        return json({ template: name, ...metadata, files: sizes, archive_bytes: archive.length, variables: shown });
      print(`Would push ${name} (${metadata.display_name}: ${metadata.description}), ${archive.length} bytes:`);
      for (const { path, bytes } of sizes) print(`  ${path}  ${bytes} bytes`);
      print('with the variables:');
      for (const [key, value] of Object.entries(shown)) print(`  ${key} = ${value}`);
      print('Nothing was sent.');
    },
  };
}
