import { paths } from '../contract.ts';
import { shellLine } from './shell-line.ts';

/**
 * Where scripts go before they start OpenCode's runtime: it loads `bunfig.toml` and `.env` of the folder it starts in,
 * and Coder starts scripts in the repository, where the agent writes.
 */
const awayFromTheRepository = 'cd / || exit 1';

/**
 * A shell script that starts one of our programs beside the person's own and returns.
 *
 * The program is started again when it fails, for nobody else would. Coder calls a workspace "starting" for as long as a start script runs. What the program says goes to
 * `~/.local/state/outrigger/<name>.log`.
 */
export function background(name: string, command: readonly string[]): string {
  return `#!/bin/sh
${awayFromTheRepository}
log="$HOME/.local/state/outrigger/${name}.log"
mkdir -p "$(dirname "$log")"
export BUN_BE_BUN=1
setsid sh -c 'until "$@"; do sleep 5; done' ${name} ${entered(command)} >"$log" 2>&1 </dev/null &
echo "${name}: started; it writes to $log"
`;
}

/** A shell script that runs one of our programs to its end. */
export function foreground(command: readonly string[]): string {
  return `#!/bin/sh
${awayFromTheRepository}
BUN_BE_BUN=1 exec ${entered(command)}
`;
}

function entered(command: readonly string[]): string {
  return shellLine([paths.enter, ...command]);
}
