import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { templates } from '../../stacks/templates.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const readme = (name: string): string => readFileSync(join(root, 'templates', name, 'README.md'), 'utf8');

describe('stacks/templates.ts', () => {
  it.each(templates.map(({ name }) => [name] as const))('%s has a name that Coder takes', (name) => {
    expect(name).toMatch(/^[a-zA-Z0-9]+(?:-[a-zA-Z0-9]+)*$/);
    expect(name.length).toBeLessThanOrEqual(32);
  });

  it('lists every folder under templates/', () => {
    expect(readdirSync(join(root, 'templates')).sort()).toEqual(templates.map(({ name }) => name).sort());
  });

  it.each(templates.map(({ name }) => [name] as const))(
    '%s has a README with the keys that the registry knows',
    (name) => {
      const [, front, body] = /^---\n([\s\S]*?)\n---\n\n([\s\S]*)$/.exec(readme(name)) ?? [];

      expect(Object.keys(parse(front ?? '') as object).sort()).toEqual(
        ['description', 'display_name', 'icon', 'supported_os', 'tags', 'verified'].sort(),
      );
      expect(body).toMatch(/^# .+\n\n\S/);
      expect(body).not.toContain('```hcl');
    },
  );
});
