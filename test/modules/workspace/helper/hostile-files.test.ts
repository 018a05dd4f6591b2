import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { facts } from '../../../../modules/workspace/helper/facts.ts';
import { readWish } from '../../../../modules/workspace/helper/run-files.ts';
import { fileCanary, installHelper, makeWorker, until, type HelperProcess, type Tools, type Worker } from './world.ts';

let tools: Tools;
let worker: Worker;
let helper: HelperProcess;
const servers: Server[] = [];
beforeAll(async () => {
  tools = await installHelper();
  worker = await makeWorker(tools);
  helper = worker.start('serve');
  await until('the first state', () => worker.state());
});
afterAll(async () => {
  for (const server of servers) server.close();
  expect(await worker.end()).toEqual([]);
  tools.remove();
});

const status = (fields: object): string =>
  JSON.stringify({
    state: 'running',
    doing: 'Working',
    git: { branch: 'main', ahead: 1, behind: 0, dirty: true },
    ...fields,
  });
const deep = `${'{"a":'.repeat(3_000)}1${'}'.repeat(3_000)}`;
const escapes = '\u001b]0;title\u0007\u001b[2J\u001b[31mred\u202e\u200b\r\nsecond line\u0000\u009b5m \ue000\ufeff end';

type Put = (file: string) => void;
const text =
  (content: string | Buffer): Put =>
  (file) =>
    writeFileSync(file, content);

/** What somebody puts where `status.json` and `ide.json` should be, each is neither a status nor a wish. */
const corpus: readonly (readonly [what: string, put: Put])[] = [
  ['a link to a file of the home', (file) => symlinkSync(join(worker.home, 'secret.txt'), file)],
  [
    'a link to a file of the home that says just the right things',
    (file) => {
      const good = join(worker.home, 'good.json');
      writeFileSync(
        good,
        status({ doing: fileCanary, enabled: true, generation: 1, phase: 'Ready', message: fileCanary }),
      );
      worker.give('good.json');
      symlinkSync(good, file);
    },
  ],
  ['a link to what a process holds', (file) => symlinkSync('/proc/self/environ', file)],
  ['a link to itself', (file) => symlinkSync(file, file)],
  ['a link to an endless device', (file) => symlinkSync('/dev/zero', file)],
  ['a FIFO that nobody writes', (file) => void execFileSync('mkfifo', ['-m', '666', file])],
  ['a directory', (file) => mkdirSync(file)],
  ['a socket', (file) => void servers.push(createServer().listen(file))],
  [
    '100 MB',
    (file) => {
      writeFileSync(file, '{');
      truncateSync(file, 100_000_000);
    },
  ],
  ['nothing', text('')],
  ['half of an object', text('{"state":"running","doing":"Wor')],
  ['deep nesting', text(deep)],
  ['deeper nesting than fits on a stack', text('['.repeat(16_000))],
  ['bytes that are no text', text(Buffer.from([0xff, 0xfe, 0x00, 0x80]))],
  ['a list', text('[{"state":"running","doing":"x"}]')],
  ['null', text('null')],
  ['a number', text('1e999')],
  ['a state that is none', text(status({ state: 'canary' }))],
  ['an object for a word', text(status({ doing: { toString: 'canary' } }))],
  ['a number for a word', text(status({ doing: 1 }))],
  ['only unprintable words', text(status({ doing: '\u001b\u0007\u200b' }))],
  ['a wish without a generation', text('{"enabled":true}')],
  ['a wish that is a word', text('{"enabled":"true","generation":1}')],
  ['a wish of half a generation', text('{"enabled":true,"generation":1.5}')],
  ['a wish below zero', text('{"enabled":true,"generation":-1}')],
  ['a wish beyond all numbers', text('{"enabled":true,"generation":1e300}')],
  ['a prototype', text('{"__proto__":{"enabled":true,"generation":3,"state":"idle","doing":"canary"}}')],
];

describe('a file that the sidecar put there', () => {
  const fact = async (name: string): Promise<string> => await worker.start('fact', name).output;
  const factFile = (name: string): string =>
    readFileSync(join(worker.home, '.local/state/outrigger/facts', name), 'utf8');
  const replace = (name: string, put: Put): void => {
    const file = join(worker.runDir, name);
    rmSync(file, { recursive: true, force: true });
    put(file);
  };

  it.each(corpus)(
    'is not believed when it is %s',
    async (_what, put) => {
      for (const name of ['status.json', 'ide.json', 'ide-state.json']) replace(name, put);

      expect(await fact('agent')).toBe('not known yet\n');
      expect(facts.git(worker.runDir)).toBe('not known yet');
      expect(readWish(worker.runDir)).toBe('refused');
    },
    120_000,
  );

  it('has not stopped the helper, turned the IDE on, or shown anything of the worker', async () => {
    for (const name of ['status.json', 'ide.json', 'ide-state.json']) replace(name, () => undefined);
    replace('status.json', text(status({})));
    await until('the fact of a good file', () => factFile('agent') === 'Working\n');
    expect(worker.ideStart()).toBeNull();

    worker.wish(true, 1);
    await until('the IDE', () => worker.state()?.phase === 'Ready' && worker.state()?.generation === 1);

    expect(factFile('git')).toBe('main · ↑1 ↓0 · changed\n');
    expect(worker.lines.join('\n')).not.toMatch(/canary|reached nobody/);
    expect(worker.lines.length).toBeLessThan(100);
    expect(helper.pid).toBeGreaterThan(0);
  });

  it('leaves an IDE running that was asked for, when the wish turns into garbage', async () => {
    const before = worker.ideStart()?.pid;
    replace('ide.json', text('{"enabled":false'));
    replace('status.json', text(status({ doing: 'Seen after the garbage' })));
    await until('a look after that', () => factFile('agent').startsWith('Seen after'));

    expect(worker.state()).toMatchObject({ phase: 'Ready', generation: 1 });
    expect(worker.ideStart()?.pid).toBe(before);
  });

  it('reaches a terminal as one line of plain words, however it was written', async () => {
    replace(
      'status.json',
      text(status({ doing: escapes, git: { branch: escapes, ahead: 0, behind: 2, dirty: false } })),
    );

    expect(await fact('agent')).toBe(']0;title [2J [31mred second line 5m end\n');
    expect(await fact('git')).toBe(']0;title [2J [31mred second line 5m end · ↑0 ↓2 · clean\n');
    replace('status.json', text(status({ doing: '€'.repeat(3_000) })));
    expect(await fact('agent')).toBe(`${'€'.repeat(53)}\n`);
    replace('ide-state.json', text(JSON.stringify({ phase: 'Failed', message: escapes, generation: 1 })));
    expect(await fact('ide')).toMatch(/^[\x20-\x7e]+\n$/);
  });

  it('is not written through: what the helper tells replaces a link, and spares what it points to', async () => {
    const victim = join(worker.home, 'secret.txt');
    replace('ide-state.json', (file) => symlinkSync(victim, file));
    worker.wish(false, 2);
    await until('the IDE to stop', () => worker.state()?.generation === 2 && worker.state()?.phase === 'Stopped');

    expect(readFileSync(victim, 'utf8')).toBe(fileCanary);
    expect(readdirSync(worker.runDir).sort()).toEqual(['ide-state.json', 'ide.json', 'status.json']);
  });

  it('cannot make the helper empty a folder: one in the place of its file stays as it is', async () => {
    replace('ide-state.json', (file) => {
      mkdirSync(join(file, 'inner'), { recursive: true });
      symlinkSync(worker.home, join(file, 'inner', 'home'));
    });
    worker.wish(true, 3);
    await until('the log to say so', () => worker.lines.some((line) => line.includes('cannot be written')));

    expect(readdirSync(join(worker.runDir, 'ide-state.json', 'inner'))).toEqual(['home']);
    expect(readdirSync(worker.runDir).sort()).toEqual(['ide-state.json', 'ide.json', 'status.json']);
    expect(readFileSync(join(worker.home, 'secret.txt'), 'utf8')).toBe(fileCanary);
    replace('ide-state.json', () => undefined);
    await until('the state to come back', () => worker.state()?.phase === 'Ready');
  });
});
