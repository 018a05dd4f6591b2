import type { CoderClient, Template, TemplateVersion } from 'coder-sdk-ts';
import { unless } from './coder-failure.ts';
import { readTar } from './tar.ts';
import { parseYaml, type Values } from './template-variables.ts';
import { compareTrees, type Tree } from './tree.ts';

/** What Coder has active: its version and the files that it was made from, where this person may read them. */
export interface ActiveVersion {
  readonly version: TemplateVersion;
  readonly files: Tree | null;
}

export const readActiveVersion = (coder: CoderClient, template: Template): Promise<TemplateVersion> =>
  coder.getTemplateVersion(template.active_version_id);

/** The files a version was made from; null where this person may not read them. */
export async function filesOf(coder: CoderClient, version: TemplateVersion): Promise<Tree | null> {
  const fileId = version.job.file_id;
  const bytes = fileId == null ? undefined : await unless(['not_found', 'forbidden'], coder.downloadFile(fileId));
  return bytes === undefined ? null : readTar(bytes);
}

/**
 * Why a push would change what is active; null when it would not.
 *
 * A value that is not given stays as it was in the version before, so only given ones are compared. A sensitive value
 * cannot be read back, so one that is given counts as changed.
 */
export async function changeOf(
  coder: CoderClient,
  active: ActiveVersion,
  wanted: { readonly files: Tree; readonly values: Values; readonly sensitive: readonly string[] },
): Promise<string | null> {
  if (active.files === null) return 'the files of the active version cannot be read with this token';
  const [difference] = compareTrees(active.files, wanted.files);
  if (difference !== undefined) return `${difference.path} differs`;
  const hidden = Object.keys(wanted.values).find((name) => wanted.sensitive.includes(name));
  if (hidden !== undefined) return `${hidden} is sensitive, so nobody can tell whether it changed`;
  const known = await unless(['forbidden', 'not_found'], coder.templateVersionVariables(active.version.id));
  const before = new Map(known?.map(({ name, value }) => [name, value]));
  const changed = Object.entries(wanted.values).find(([name, value]) => !isSame(before.get(name), value));
  return changed === undefined ? null : `variable ${changed[0]} differs`;
}

/** A list may be written with other spaces than before. */
const isSame = (before: string | undefined, value: string): boolean =>
  before === value ||
  (before !== undefined &&
    /^\s*[[{]/.test(value) &&
    JSON.stringify(parseYaml(before)) === JSON.stringify(parseYaml(value)));
