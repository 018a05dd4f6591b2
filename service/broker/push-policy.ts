import { isZero, type RefCommand } from './push-request.ts';

/** Why a branch may not be moved, for the person at the terminal; null when nothing speaks against it yet. */
export function reasonAgainst(command: RefCommand, branches: readonly string[]): string | null {
  const branch = branchOf(command.ref);
  if (branch === null) return 'only branches can be pushed from here';
  if (!branches.some((pattern) => fits(branch, pattern))) return `only ${branches.join(', ')} can be pushed from here`;
  if (isZero(command.new)) return 'branches cannot be deleted from here';
  return null;
}

/** Stricter than git: what no forge's own rules could read in two ways. */
function branchOf(ref: string): string | null {
  const [, branch] = /^refs\/heads\/([A-Za-z0-9_][A-Za-z0-9._/-]*)$/.exec(ref) ?? [];
  if (branch === undefined || /\.\.|\/\/|\/\.|\/-|\.lock(\/|$)|[./]$/.test(branch)) return null;
  return branch;
}

/** A `*` at the end stands for anything, further parts of the name included. */
const fits = (branch: string, pattern: string): boolean =>
  pattern.endsWith('*')
    ? branch.length > pattern.length - 1 && branch.startsWith(pattern.slice(0, -1))
    : branch === pattern;

/** Said of a branch that exists already where its new commits do not show that they build on the old one. */
export const notForward = 'not shown to build on what is there; never force, push to a new branch instead';
