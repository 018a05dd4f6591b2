import { z } from 'zod';
import { workingDay, type TemplateEntry, type TemplateSchedule } from '../stacks/templates.ts';
import { CommandFailure } from './command-failure.ts';
import { tarOf } from './tar.ts';
import { parseYaml } from './template-variables.ts';
import type { Tree } from './tree.ts';

/** What people read about a template in Coder. */
export interface TemplateMetadata {
  readonly display_name: string;
  readonly description: string;
  readonly icon: string;
}

/** What of a template's folder is sent to Coder. */
export interface TemplatePackage {
  readonly files: Tree;
  readonly archive: Uint8Array<ArrayBuffer>;
  readonly metadata: TemplateMetadata;
  /** Sent when the template is made, never again. Otherwise `workingDay`. */
  readonly schedule?: TemplateSchedule;
}

/** Coder's own command refuses larger ones. */
const archiveBytesAtMost = 1024 * 1024;

/**
 * The files of a folder that belong into an archive: no dot-files but the lock file, no state, no values of variables.
 *
 * Source  coder/coder provisionersdk/archive.go; the server filters nothing.
 */
export function sentFiles(folder: Tree): Tree {
  const isSent = (path: string): boolean => {
    const names = path.split('/');
    if (path.includes('.tfstate') || /^(terraform\.tfvars|[^/]*\.auto\.tfvars)(\.json)?$/.test(path)) return false;
    return names.every((name, at) => !name.startsWith('.') || (name === '.terraform.lock.hcl' && at === 0));
  };
  return new Map([...folder].filter(([path]) => isSent(path)));
}

/** Packs a template. Throws a `CommandFailure` when it is too large, or its README says what Coder would not take. */
export function packTemplate(entry: TemplateEntry, files: Tree): TemplatePackage {
  const archive = tarOf(files);
  if (archive.length > archiveBytesAtMost)
    throw new CommandFailure(
      2,
      `Template ${entry.name} makes an archive of ${archive.length} bytes, and Coder takes ${archiveBytesAtMost}. Move large files out of its folder.`,
    );
  const metadata = metadataOf(entry, files.get('README.md') ?? '');
  return { files, archive, metadata, schedule: entry.schedule ?? workingDay };
}

/** Limits of Coder. Source: coder/coder codersdk/name.go and coderd/templates.go */
const frontMatter = z.looseObject({
  display_name: z.string().trim().min(1).max(64).optional(),
  description: z.string().trim().max(127).optional(),
  icon: z.string().startsWith('/').optional(),
});

function metadataOf(entry: TemplateEntry, readme: string): TemplateMetadata {
  const text = /^---\r?\n(.*?)^---\r?$/ms.exec(readme)?.[1];
  const result = frontMatter.safeParse(text === undefined ? {} : parseYaml(text));
  if (!result.success) {
    const [fault] = result.error.issues;
    throw new CommandFailure(
      2,
      `The front matter of templates/${entry.name}/README.md is not right at '${fault?.path.join('.')}': ${fault?.message}.`,
    );
  }
  const { display_name = entry.title, description = '', icon = '' } = result.data;
  return { display_name, description, icon };
}
