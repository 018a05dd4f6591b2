import { stringify } from 'yaml';
import { z } from 'zod';
import { templates, type TemplateEntry } from '../../stacks/templates.ts';
import { CommandFailure } from '../command-failure.ts';
import { isTemplateName } from '../template-names.ts';
import { parseYaml } from '../template-variables.ts';
import { readKataContainerConfig, type KataContainerConfig } from './container-config.ts';

/** Where the README of a generated template keeps what it was generated from; Coder shows no front matter. */
const configKey = 'outrigger_kata';

/** The Kata template with these defaults, under another name. Throws a `CommandFailure` where there is none. */
export function kataEntry(name: string, config: KataContainerConfig): TemplateEntry {
  const kata = templates.find((one) => one.name === 'kata');
  if (kata === undefined) throw new CommandFailure(2, 'This version of Outrigger has no kata template.');
  const defaults = { cpu: config.CPU, memoryMb: config.Memory, diskGb: config.Disk };
  return { name, title: name, stack: (scope, id) => kata.stack(scope, id, { defaults, image: config.Image }) };
}

/** The front matter of a generated template. */
export const frontMatterOf = (name: string, description: string, config: KataContainerConfig): string =>
  stringify({
    display_name: name,
    description,
    icon: '/icon/k8s.png',
    verified: false,
    supported_os: ['linux'],
    tags: ['kubernetes', 'kata', 'opencode', 'agent'],
    [configKey]: config,
  });

/** The template that a README with such front matter belongs to; undefined for any other README. */
export function generatedEntry(name: string, readme: string): TemplateEntry | undefined {
  const text = /^---\r?\n(.*?)^---\r?$/ms.exec(readme)?.[1];
  const found = z.looseObject({ [configKey]: z.unknown() }).safeParse(parseYaml(text ?? ''));
  const config = found.success ? found.data[configKey] : undefined;
  if (config === undefined || !isTemplateName(name)) return undefined;
  return kataEntry(name, readKataContainerConfig(config));
}
