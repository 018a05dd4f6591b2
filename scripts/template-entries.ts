import { join } from 'node:path';
import type { TemplateEntry } from '../stacks/templates.ts';
import { templates } from '../stacks/templates.ts';
import { generatedEntry } from './kata/generated.ts';
import { chooseEntries } from './template-context.ts';
import { readTree } from './tree.ts';

/**
 * The templates of these names: those of `stacks/`, and those that `outrigger kata template` made under `root`.
 *
 * Errors  a `CommandFailure` that names every stranger. Without names: all of `stacks/`.
 */
export function findEntries(names: readonly string[], root: string): readonly TemplateEntry[] {
  const isOurs = (name: string): boolean => templates.some((one) => one.name === name);
  const made = names
    .filter((name) => !isOurs(name))
    .flatMap((name) => generatedEntry(name, readTree(join(root, name)).get('README.md') ?? '') ?? []);
  const left = names.filter((name) => made.every((one) => one.name !== name));
  return names.length === 0 || left.length > 0 ? [...chooseEntries(left), ...made] : made;
}
