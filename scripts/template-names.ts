import { CommandFailure } from './command-failure.ts';

/** What Coder takes as names. Source: coder/coder codersdk/name.go */
export const templateNameRule = { pattern: /^[a-zA-Z0-9]+(?:-[a-zA-Z0-9]+)*$/, most: 32 } as const;
const versionNameRule = { pattern: /^[a-zA-Z0-9]+(?:[_.-][a-zA-Z0-9]+)*$/, most: 64 } as const;

export const isTemplateName = (name: string): boolean =>
  templateNameRule.pattern.test(name) && name.length <= templateNameRule.most;

/** Throws a `CommandFailure` 2. */
export function checkVersionName(name: string): void {
  if (versionNameRule.pattern.test(name) && name.length <= versionNameRule.most) return;
  throw new CommandFailure(
    2,
    `Coder takes no version named ${JSON.stringify(name)}: letters and digits, single "." "_" or "-" between them, at most ${versionNameRule.most}. Give another --version-name.`,
  );
}

/**
 * The nearest name that Coder takes: what it does not take becomes a hyphen.
 *
 * Errors  `CommandFailure` 2 where nothing is left of it.
 */
export function templateNameFrom(text: string): string {
  const name = text
    .replaceAll(/[^a-zA-Z0-9]+/g, '-')
    .replace(/^-/, '')
    .slice(0, templateNameRule.most)
    .replace(/-$/, '');
  if (isTemplateName(name)) return name;
  throw new CommandFailure(
    2,
    `${JSON.stringify(text)} holds no letter or digit, and Coder names templates by letters, digits and single hyphens. Give a name such as my-template.`,
  );
}
