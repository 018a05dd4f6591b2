import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CommandFailure } from '../../scripts/command-failure.ts';
import { processClock, type Surroundings } from '../../scripts/template-context.ts';
import type { Rendering } from '../../scripts/template-push.ts';
import { renderTemplate, synthesizeTemplate, templatesDirectory } from '../../scripts/template.ts';
import { replaceTree } from '../../scripts/tree.ts';
import { loadConfig } from '../../service/config.ts';
import { templates } from '../../stacks/templates.ts';

export const digest = (character: string): string => `@sha256:${character.repeat(64)}`;
export const images = {
  opencode_image: `registry.example.com/opencode:1${digest('a')}`,
  executor_images: JSON.stringify([`registry.example.com/base:1${digest('b')}`]),
};
export const imageFlags = Object.entries(images).map(([name, value]) => `${name}=${value}`);
export const publicUrl = 'https://outrigger.example.com';

/** Templates as they render now, in a folder of their own; each is synthesized once. */
export function renderedTemplates(folder: string, names: readonly string[] = ['docker']): Rendering {
  const directory = join(folder, 'templates');
  const made = new Map(
    templates
      .filter(({ name }) => names.includes(name))
      .map((entry) => [entry.name, { synthesized: synthesizeTemplate(entry), files: renderTemplate(entry) }]),
  );
  for (const [name, { files }] of made) {
    const readme = readFileSync(join(templatesDirectory, name, 'README.md'), 'utf8');
    replaceTree(join(directory, name), new Map([['README.md', readme], ...files]));
  }
  return {
    directory,
    synthesize: (entry) => made.get(entry.name)?.synthesized ?? synthesizeTemplate(entry),
    render: (entry) => made.get(entry.name)?.files ?? renderTemplate(entry),
  };
}

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs one command in this process, as whoever has the token, and keeps what it says. */
export async function ran(
  who: { readonly coderUrl: string; readonly token: string; readonly home: string },
  run: (around: Surroundings) => Promise<number | void>,
  given: Partial<Surroundings> = {},
): Promise<Ran> {
  const [stdout, stderr]: [string[], string[]] = [[], []];
  const config = loadConfig({
    environment: { CODER_URL: who.coderUrl, CODER_SESSION_TOKEN: who.token, OUTRIGGER_URL: publicUrl },
    readFile: () => undefined,
    homeDir: who.home,
    uid: 1000,
  });
  const around: Surroundings = {
    config,
    print: (line) => void stdout.push(line),
    tell: (line) => void stderr.push(line),
    signal: new AbortController().signal,
    clock: processClock,
    pollMs: 5,
    ...given,
  };
  const code = await run(around).then(
    (ended) => ended ?? 0,
    (error: unknown) => {
      if (!(error instanceof CommandFailure)) throw error;
      stderr.push(error.message);
      return error.exitCode;
    },
  );
  return { code, stdout: stdout.join('\n'), stderr: stderr.join('\n') };
}
