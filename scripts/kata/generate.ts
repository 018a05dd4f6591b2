import { mkdirSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { CommandFailure } from '../command-failure.ts';
import { templateNameFrom } from '../template-names.ts';
import { renderTemplate, templatesDirectory } from '../template-render.ts';
import { replaceTree } from '../tree.ts';
import { readKataContainerConfig, type KataContainerConfig } from './container-config.ts';
import { frontMatterOf, kataEntry } from './generated.ts';

/** Coder takes descriptions shorter than this. Source: coder/coder coderd/templates.go */
const descriptionMost = 127;

/**
 * Makes a folder that only you can read, with a Kata template's `main.tf` and `README.md`, and answers its path.
 *
 * Name     what Coder would not take becomes a hyphen, so a name leads nowhere; the folder's last part is the name.
 * Place    `parent`, which is made where it is missing; without it a new private folder of the system's own.
 * Errors   `CommandFailure` 2 for what the config, name or description cannot be, and for a folder that is there already.
 */
export function generateKataContainerTemplate(
  name: string,
  description: string,
  config: KataContainerConfig,
  parent?: string,
): string {
  const own = templateNameFrom(name);
  const checked = readKataContainerConfig(config);
  const line = description.replaceAll(/\s+/g, ' ').trim();
  if (line.length > descriptionMost)
    throw new CommandFailure(
      2,
      `The description has ${line.length} characters, and Coder takes ${descriptionMost}. Shorten it.`,
    );
  const files = new Map([...renderTemplate(kataEntry(own, checked)), ['README.md', readmeOf(own, line, checked)]]);
  const folder = newFolder(own, parent);
  replaceTree(folder, files);
  return folder;
}

function newFolder(name: string, parent: string | undefined): string {
  const root = parent === undefined ? mkdtempSync(join(tmpdir(), 'outrigger-kata-')) : resolve(parent);
  mkdirSync(root, { recursive: true, mode: 0o700 });
  const folder = join(root, name);
  try {
    mkdirSync(folder, { mode: 0o700 });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new CommandFailure(2, `${folder} cannot be made: ${code}. Name another folder with --out.`, { cause });
  }
  return folder;
}

function readmeOf(name: string, description: string, config: KataContainerConfig): string {
  const { Image, CPU, Memory, Disk } = config;
  return `---
${frontMatterOf(name, description, config)}---

# ${name}

${description === '' ? 'Workspaces in virtual machines of their own, by Kata Containers.' : plain(description)}

It is Outrigger's Kata template, and offers the image \`${Image}\`, ${CPU} CPU cores, ${Memory} MB of memory and ${Disk} GB of disk
before a person changes them.

## Publishing

\`\`\`sh
outrigger template push ${name} --from .. --vars-file variables.yaml
\`\`\`

\`main.tf\` is rendered: make the template again to change it.

${sharedSections()}`;
}

/** Nothing of a description may begin markup. */
const plain = (text: string): string => text.replaceAll(/[\\`*_{}[\]<>#|!]/g, (sign) => `\\${sign}`);

/** What the shipped template's README says beyond how to publish it. */
function sharedSections(): string {
  const readme = readFileSync(join(templatesDirectory, 'kata', 'README.md'), 'utf8');
  const sections = readme.split(/^(?=## )/m).slice(1);
  return sections.filter((section) => !section.startsWith('## Publishing')).join('');
}
