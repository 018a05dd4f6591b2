import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';

/** A folder as relative paths (forward slashes) and their texts. */
export type Tree = ReadonlyMap<string, string>;

export interface Difference {
  readonly path: string;
  readonly kind: 'modified' | 'missing' | 'extra';
}

/** Every file under a folder, in order of path; empty when the folder does not exist. */
export function readTree(directory: string): Tree {
  const entries = readFolder(directory);
  return new Map(entries.map((path) => [relative(directory, path).split(sep).join('/'), readFileSync(path, 'utf8')]));
}

function readFolder(directory: string): readonly string[] {
  try {
    return readdirSync(directory, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** Makes the folder hold exactly this tree. */
export function replaceTree(directory: string, tree: Tree): void {
  for (const path of readTree(directory).keys()) {
    if (!tree.has(path)) rmSync(join(directory, path));
  }
  for (const [path, text] of tree) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), text);
  }
}

/** What must change for `actual` to become `wanted`, in order of path. */
export function compareTrees(actual: Tree, wanted: Tree): readonly Difference[] {
  const paths = [...new Set([...actual.keys(), ...wanted.keys()])].sort();
  return paths.flatMap((path): readonly Difference[] => {
    const before = actual.get(path);
    const after = wanted.get(path);
    if (before === after) return [];
    return [{ path, kind: before === undefined ? 'missing' : after === undefined ? 'extra' : 'modified' }];
  });
}
