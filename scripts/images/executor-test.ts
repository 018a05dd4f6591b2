import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { shellLine } from '../../modules/workspace/shell-line.ts';
import { CommandFailure } from '../command-failure.ts';
import { askEngine, inspectImage } from '../executor/engine.ts';
import { images } from './agents.ts';
import { referenceOf, type ImageSettings } from './settings.ts';

/** Says back what it was asked; stands in for OpenCode, so that the test needs no model. */
const echoOpencode = '#!/bin/sh\nprintf "%s\\n" "$@"\n';
const task = 'Say "hello",\n  it\'s $HOME and `id`; keep * every\\ byte.\n';
const path = '/tools:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** The user of the image, and one that no image knows: OpenShift gives such. */
const users = ['1000:0', '100012345:0'];

/**
 * Runs the pattern of a workspace with an executor image: the init container fills /tools, then a worker finds
 * `/tools/opencode` and its task there. Gives the exit code.
 *
 * Errors  exit code 2 where one of the two images is missing.
 */
export async function executorTest(settings: ImageSettings, isDryRun: boolean): Promise<number> {
  const worker = referenceOf(settings.kind, settings);
  const opencode = images['opencode'];
  if (opencode === undefined || settings.kind === opencode) {
    throw new CommandFailure(2, 'The OpenCode image is no executor. Name one: make executor-test AGENT=devbox');
  }
  const folder = isDryRun ? '/tmp/executor-test' : mkdtempSync(join(tmpdir(), 'outrigger-executor-test-'));
  const volume = folder.split('/').at(-1) ?? '';
  const init = initCommand(volume, join(folder, 'opencode'), referenceOf(opencode, settings));
  const works = users.map((user) => workCommand({ volume, taskFile: join(folder, 'task.md'), worker, user }));
  if (isDryRun) {
    for (const words of [init, ...works]) console.log(shellLine([settings.engine, ...words]));
    return 0;
  }
  try {
    writeFileSync(join(folder, 'opencode'), echoOpencode, { mode: 0o755 });
    writeFileSync(join(folder, 'task.md'), task, { mode: 0o444 });
    for (const image of [referenceOf(opencode, settings), worker]) await inspectImage(settings.engine, image);
    return await runPattern(settings, init, works);
  } finally {
    await askEngine(settings.engine, ['volume', 'rm', '--force', volume]);
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Nobody may read the real `opencode`, and a script that cannot be read does not run: so it is put there afterwards. */
const initScript =
  '/opt/outrigger/init.sh && cp /echo /tools/.new && chmod 0555 /tools/.new && mv -f /tools/.new /tools/opencode';

const initCommand = (volume: string, echo: string, image: string): string[] => [
  ...['run', '--rm', '--network', 'none', '--entrypoint', '/bin/sh'],
  ...['-v', `${volume}:/tools`, '-v', `${echo}:/echo:ro`, image, '-c', initScript],
];

interface Work {
  readonly volume: string;
  readonly taskFile: string;
  readonly worker: string;
  readonly user: string;
}

const workCommand = ({ volume, taskFile, worker, user }: Work): string[] => [
  ...['run', '--rm', '--network', 'none', '--user', user, '--cap-drop', 'ALL'],
  ...['-v', `${volume}:/tools:ro`, '-v', `${taskFile}:/workspace/task.md:ro`, '-e', `PATH=${path}`],
  ...[worker, 'sh', '-c', 'cd /workspace && /tools/opencode run "$(cat task.md)" && opencode where'],
];

async function runPattern(
  { engine }: ImageSettings,
  init: readonly string[],
  works: readonly string[][],
): Promise<number> {
  const filled = await askEngine(engine, init);
  if (filled.code !== 0) return failed('The init container did not fill /tools', filled.stderr || filled.stdout);
  const expected = `run\n${task}where\n`;
  for (const [index, words] of works.entries()) {
    const { code, stdout, stderr } = await askEngine(engine, words);
    const who = `as ${users[index] ?? ''}`;
    if (code !== 0) return failed(`The worker ended with ${code} ${who}`, stderr);
    if (stdout !== expected) return failed(`The task did not arrive byte for byte ${who}`, stdout);
    console.log(`ok  init-then-worker ${who}: the task arrived byte for byte, and /tools is in PATH`);
  }
  return 0;
}

function failed(what: string, output: string): number {
  console.error(`${what}:\n${output.trim()}`);
  return 1;
}
