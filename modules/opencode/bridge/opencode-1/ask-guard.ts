import type { Profile } from '../../../contract.ts';
import { beforeScripts } from '../harness.ts';
import { dangerousPaths } from './permissions.ts';

/**
 * Words with which bash begins something that is no command of its own. The harness asks about the commands that it
 * finds in a script, so one that holds none runs unasked: `declare -p x > .envrc` is such a script.
 */
const noCommands =
  'cd|pushd|popd|export|declare|typeset|local|readonly|unset|unsetenv|if|then|else|elif|fi|for|while|until|do|done|case|esac|select|function|time|coproc|in';

export interface AskGuardPlan {
  readonly profile: Profile;
  /** The work tree of the attempt, and the folder in it that the harness runs in. */
  readonly workTree: string;
  readonly folder: string;
}

/**
 * Source of `beforeTool`, which the plugin runs before each call of a tool: it closes three ways around what the harness
 * asks.
 *
 * Scripts  one that does not begin with a plain command gets a line before it, so that it is asked about, whole.
 * Folders  a person is shown the command and not the folder that it runs in, so `workdir` is refused: `cd` in the
 *          command is shown, and is part of what is approved.
 * Links    a path that leads through a link out of the work tree, or to a file that needs a question, is refused:
 *          the harness compares paths as they are written.
 */
export const askGuard = ({
  profile,
  workTree,
  folder,
}: AskGuardPlan): string => `import { readlinkSync, realpathSync } from 'node:fs';
import { dirname, join, resolve, sep } from 'node:path';

const isGuarded = ${JSON.stringify(profile !== 'trusted')};
const root = follow(${JSON.stringify(workTree)});
const base = ${JSON.stringify(folder)};
const plain = /^[A-Za-z0-9_./~-]+(?=\\s|$)/;
const noCommand = /^(?:${noCommands})(?=\\s|$)/;
const dangerous = ${JSON.stringify(dangerousPaths)};

/** Where writing to a path ends up; what is not there yet hangs below what is. */
function landing(path) {
  try {
    return realpathSync(path);
  } catch (error) {
    if (error.code === 'ELOOP') throw error;
    const parent = dirname(path);
    return parent === path ? path : join(landing(parent), path.slice(parent.length).replace(/^[/]+/, ''));
  }
}

function follow(path) {
  let at = path;
  for (let links = 0; links < 40; links += 1) {
    const next = landing(at);
    const target = linkTarget(next);
    if (target === null) return next;
    at = target;
  }
  throw new Error('too many links');
}

/** A link to what is not there: writing through it makes the file that it names. */
function linkTarget(path) {
  try {
    return resolve(dirname(path), readlinkSync(path));
  } catch {
    return null;
  }
}

function checkPath(tool, given) {
  if (typeof given !== 'string' || given === '') return;
  const written = resolve(base, given);
  const real = follow(written);
  if (real === written) return;
  const isInside = real === root || real.startsWith(root + sep);
  const names = isInside ? real.slice(root.length + 1).split(sep) : [];
  if (isInside && !names.some((name) => dangerous.includes(name))) return;
  throw new Error(tool + ': ' + given + ' leads through a link to a place that is not for this. Use its own path.');
}

const pathOf = { read: 'filePath', write: 'filePath', edit: 'filePath', multiedit: 'filePath', list: 'path', glob: 'path', grep: 'path' };

function beforeTool(tool, args) {
  if (!isGuarded) return;
  if (tool === 'bash' && typeof args.command === 'string') {
    if (typeof args.workdir === 'string' && args.workdir !== '' && follow(resolve(base, args.workdir)) !== follow(base))
      throw new Error('bash: a person is asked about the command and would not see workdir. Leave it out, and begin the command with cd.');
    if (!plain.test(args.command) || noCommand.test(args.command)) args.command = ${JSON.stringify(beforeScripts)} + args.command;
  } else if (tool === 'apply_patch' || tool === 'patch') {
    const text = String(args.patchText ?? '');
    for (const [, path] of text.matchAll(/^[*]{3} (?:Add File|Update File|Delete File|Move to): (.*)$/gm)) checkPath(tool, path.trim());
  } else checkPath(tool, args[pathOf[tool]]);
}
`;
