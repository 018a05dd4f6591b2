import { spawn } from 'node:child_process';
import { AttemptFailure } from '../failure.ts';
import type { HarnessProgram } from '../harness.ts';

/**
 * The OpenCode that this adapter drives. An upgrade changes this and the package of the same version in `package.json`,
 * and passes `test/modules/opencode/bridge/conformance.test.ts`.
 */
export const pinnedVersion = '1.18.33';

const detectMs = 30_000;

/** What the program prints for `--version`; `unknown` where it prints none. */
export function detectVersion({ path, searchPath, home }: HarnessProgram): Promise<string> {
  const folders = ['HOME', 'XDG_DATA_HOME', 'XDG_CONFIG_HOME', 'XDG_STATE_HOME', 'XDG_CACHE_HOME'];
  const child = spawn(path, ['--version'], {
    cwd: '/',
    env: { PATH: searchPath, ...Object.fromEntries(folders.map((name) => [name, home])), BUN_BE_BUN: '' },
    timeout: detectMs,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let printed = '';
  child.stdout.on('data', (chunk: Buffer) => (printed += chunk.toString('utf8')));
  return new Promise((resolve) => {
    child.once('error', () => resolve('unknown'));
    child.once('close', () => resolve(/\d+\.\d+\.\d+\S*/.exec(printed)?.[0] ?? 'unknown'));
  });
}

/**
 * Refuses a harness that answers with another version: routes, events and permissions may mean something else there,
 * and a permission that is misread lets a command run unasked.
 */
export function requirePinned(version: string): void {
  if (version === pinnedVersion) return;
  throw new AttemptFailure(
    'AgentServerNotReady',
    `OpenCode here is version ${version.slice(0, 50)}, and this bridge drives ${pinnedVersion} only. Use the opencode image that this bridge came with, or roll the template back to the one before.`,
    false,
  );
}
