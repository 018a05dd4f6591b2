import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { toolLimits, type CommandOutput } from '../../../contract.ts';
import type { Environment, ExecCommand, ExecResult } from '../runner-protocol.ts';
import type { Place } from './place.ts';
import type { ToolCommands } from './tools.ts';
import { wordsOf } from './words.ts';

export type Exec = (command: ExecCommand) => Promise<ExecResult>;

export interface CommandParts {
  readonly place: Place;
  /** Runs a program of ours that starts no other. */
  readonly exec: Exec;
  /** Runs any program in a process tree of its own, of which nothing is left afterwards. */
  readonly execApart: Exec;
  readonly environment: Environment;
  readonly toolsDir: string;
}

/** What `timeout` of coreutils answers, and our own commands: row C-30. */
const timedOut = 124;
const searchMs = 30_000;
const longestQuery = 1_000;
const moreMatches = '[more matches were left out: narrow the search]\n';

/** The tools that start programs: by argument vector, never through a shell. */
export function makeCommandTools(parts: CommandParts): Pick<ToolCommands, 'runCommand' | 'searchCode'> {
  const { place, exec, execApart, environment, toolsDir } = parts;
  let running = 0;

  return {
    async runCommand({ command, timeoutSeconds = toolLimits.commandSeconds }) {
      const argv = argvOf(command);
      if (!(timeoutSeconds >= 1 && timeoutSeconds <= toolLimits.mostCommandSeconds))
        throw new Error(`timeoutSeconds must be a number from 1 to ${toolLimits.mostCommandSeconds}.`);
      if (running >= toolLimits.commandsAtOnce)
        throw new Error(`${toolLimits.commandsAtOnce} commands run already. Send it again when one has ended.`);
      running += 1;
      try {
        const result = await execApart({
          argv,
          directory: place.root(),
          environment,
          timeout_ms: timeoutSeconds * 1_000,
          max_bytes: toolLimits.outputBytes + 1,
        });
        return outputOf(result);
      } catch (error) {
        throw notStarted(argv[0] ?? '', error);
      } finally {
        running -= 1;
      }
    },

    async searchCode({ query, path = '.' }) {
      if (typeof query !== 'string' || query === '' || query.length > longestQuery || /[\0\n]/.test(query))
        throw new Error(`query must be one line of 1 to ${longestQuery} characters.`);
      const found = await exec({
        argv: searchOf(join(toolsDir, 'rg'), query, place.find(path)),
        directory: place.root(),
        environment,
        timeout_ms: searchMs,
        max_bytes: toolLimits.outputBytes + 1,
      });
      if (found.timed_out) throw new Error('The search took longer than 30 s. Search in a folder, with path.');
      // 1 says that nothing was found; 2 that something could not be read, beside what was found.
      if (found.exit !== 0 && found.exit !== 1 && found.stdout === '')
        throw new Error(`The search failed: ${found.stderr.trim().slice(0, 500)}`);
      return wholeLines(found.stdout);
    },
  };
}

/** The words of a command that was checked for its size. */
export function argvOf(command: unknown): string[] {
  if (typeof command !== 'string' || command.length > toolLimits.commandCharacters)
    throw new Error(`command must be text of at most ${toolLimits.commandCharacters} characters.`);
  return wordsOf(command);
}

/** A bridge that was started by hand may have no ripgrep beside it. Neither follows links or shows binary files. */
const searchOf = (ripgrep: string, query: string, folder: string): string[] =>
  existsSync(ripgrep)
    ? [
        ripgrep,
        ...['--no-config', '--no-heading', '--with-filename', '--no-line-number', '--color=never', '--sort=path'],
        ...['--', query, folder],
      ]
    : ['grep', '-rIHsE', '--color=never', '--exclude-dir=.git', '-e', query, '--', folder];

function outputOf({ exit, timed_out, stdout, stderr }: ExecResult): CommandOutput {
  return {
    stdout: cut(stdout),
    stderr: cut(stderr),
    exitCode: timed_out ? timedOut : exit,
    truncated: [stdout, stderr].some((text) => Buffer.byteLength(text) > toolLimits.outputBytes),
  };
}

/** Cuts within the limit, and not within a character. */
const cut = (text: string): string =>
  Buffer.byteLength(text) <= toolLimits.outputBytes
    ? text
    : Buffer.from(text)
        .subarray(0, toolLimits.outputBytes)
        .toString('utf8')
        .replace(/\uFFFD$/, '');

function wholeLines(text: string): string {
  if (Buffer.byteLength(text) <= toolLimits.outputBytes) return text;
  const kept = cut(text);
  return kept.slice(0, kept.lastIndexOf('\n') + 1) + moreMatches;
}

const notStarted = (program: string, error: unknown): Error => {
  const text = error instanceof Error ? error.message : String(error);
  return /ENOENT/.test(text) ? new Error(`There is no program ${program} in the workspace.`) : new Error(text);
};
