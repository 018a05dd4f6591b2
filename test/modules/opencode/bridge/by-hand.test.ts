import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { aLease, installTools, until, type Tools } from '../../../support/bridge/bridge-process.ts';
import { startWorld, type World } from '../../../support/bridge/world.ts';

let tools: Tools;
let world: World;
beforeAll(async () => {
  tools = await installTools();
  world = await startWorld({ tools });
});
afterAll(async () => {
  expect(await world.end()).toEqual([]);
  tools.remove();
});

/** Everything that a shell, JSON or a template could take for its own. */
const awkward = `"' \\" \\' \`id\` $(id) \${HOME} %s \\n \t <a href="x"> {{x}} grüße 🚣 '"'"'\n`;

it('O-08 a prompt of 1 MB full of quotes reaches the model byte for byte, and task.md holds the same', async () => {
  const prompt = `SCENARIO:text ARG:done\n${awkward.repeat(Math.ceil(1_048_576 / Buffer.byteLength(awkward)))}`;
  const lease = aLease(prompt);
  world.service.offer(lease);

  await until('the result', () => world.service.resultOf(lease), 150_000);

  expect(world.service.resultOf(lease)).toMatchObject({ failure: null, last_message: { finish: 'stop' } });
  // Not `toContain`, which would print a megabyte.
  expect(world.model.requests.some(({ userTexts }) => userTexts.some((text) => text === prompt))).toBe(true);
  expect(readFileSync(join(world.workspace.directory, 'task.md'), 'utf8') === prompt).toBe(true);
}, 180_000);

it('O-08 `/tools/opencode run "$(cat task.md)"` works by hand, with whatever model the person configured', async () => {
  const home = mkdtempSync(join(tmpdir(), 'outrigger-by-hand-'));
  mkdirSync(join(home, 'work'));
  writeFileSync(join(home, 'work', 'task.md'), `SCENARIO:text ARG:heard by hand\n${awkward}`);
  const provider = {
    npm: '@ai-sdk/openai-compatible',
    options: { baseURL: world.model.url, apiKey: 'mine' },
    models: { model: {} },
  };
  const config = {
    model: 'scripted/model',
    small_model: 'scripted/model',
    provider: { scripted: provider },
    share: 'disabled',
  };
  const run = spawn('sh', ['-c', `"${tools.directory}/opencode" run "$(cat task.md)"`], {
    cwd: join(home, 'work'),
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH: process.env['PATH'],
      HOME: home,
      OPENCODE_CONFIG_CONTENT: JSON.stringify(config),
      OPENCODE_DISABLE_MODELS_FETCH: '1',
      OPENCODE_DISABLE_AUTOUPDATE: '1',
      OPENCODE_DISABLE_LSP_DOWNLOAD: '1',
    },
  });
  let printed = '';
  for (const stream of [run.stdout, run.stderr]) stream.on('data', (chunk: Buffer) => (printed += chunk.toString()));

  const code = await new Promise((resolve) => run.once('close', resolve));

  expect([code, printed]).toEqual([0, expect.stringContaining('heard by hand')]);
  rmSync(home, { recursive: true, force: true, maxRetries: 5 });
}, 180_000);
