import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { startRunner } from '../../../../modules/opencode/bridge/runner-client.ts';
import { aLease, installTools, processesOf, until, type Tools } from '../../../support/bridge/bridge-process.ts';
import { startWorld, type World } from '../../../support/bridge/world.ts';

const hasCompiler = spawnSync('cc', ['--version']).status === 0;
const withCompiler = hasCompiler ? it : it.skip;
const needsCompiler = hasCompiler ? '' : ' (skipped: no cc here to compile the program)';

/**
 * Forks and exits in a chain, each link in a session of its own, deaf to TERM; `argv[1]` holds its lock and grows by
 * a byte per link. It gives up by itself after a minute, so that a failing test leaves nothing for ever.
 */
const chainSource = `
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>
int main(int count, char **arguments) {
  int file = open(arguments[1], O_WRONLY | O_CREAT | O_APPEND, 0666);
  time_t end = time(0) + 60;
  flock(file, LOCK_EX);
  signal(SIGTERM, SIG_IGN);
  if (fork()) return 0;
  while (time(0) < end) {
    if (fork()) _exit(0);
    if (count > 2) setsid();
    write(file, "x", 1);
  }
  return 0;
}`;

let tools: Tools;
let world: World;
let lock: string;

beforeAll(async () => {
  tools = await installTools();
  if (!hasCompiler) return;
  const source = join(tools.directory, 'chain.c');
  writeFileSync(source, chainSource);
  execFileSync('cc', ['-O1', '-w', '-o', join(tools.directory, 'chain'), source]);
  chmodSync(join(tools.directory, 'chain'), 0o755);
});
afterAll(() => tools.remove());

const runnerPid = (): number | undefined => processesOf(`${tools.directory}/bridge.js runner`)[0]?.pid;

/** The lock goes with the last process that inherited it: nothing else proves that the chain is over. */
const isChainOver = (): boolean => spawnSync('flock', ['--nonblock', lock, 'true']).status === 0;
const links = (): number => (existsSync(lock) ? statSync(lock).size : 0);

describe('D2 a stop of what does not want to be found', () => {
  beforeEach(async () => {
    world = await startWorld({
      tools,
      environment: ({ directory }) => ({ CHAIN: join(tools.directory, 'chain'), LOCK: join(directory, 'lock') }),
    });
    lock = join(world.workspace.directory, 'lock');
  });
  afterEach(async () => {
    expect(await world.end()).toEqual([]);
  });

  for (const [title, argument] of [
    ['a chain of forks', ''],
    ['a chain of forks that leaves its session at each link', 'setsid'],
  ])
    withCompiler(
      `ends ${title}, and its receipt is true${needsCompiler}`,
      async () => {
        const lease = await runChain(argument ?? '');

        const { receipt } = await stop(lease);

        expect(receipt).toMatchObject({ method: 'kill', processes_left: 0 });
        expect(isChainOver()).toBe(true);
      },
      120_000,
    );

  withCompiler(
    `ends a chain of forks from the bridge when the runner was killed${needsCompiler}`,
    async () => {
      const lease = await runChain('setsid');

      process.kill((await until('the runner', runnerPid)) ?? 0, 'SIGKILL');
      const evidence = await until('the result', () => world.service.resultOf(lease));

      expect(evidence.failure).toMatchObject({ retryable: true });
      await until('the chain to be over', isChainOver);
    },
    120_000,
  );

  it('answers a stop within seconds when a tool has stopped the runner', async () => {
    const lease = aLease('SCENARIO:bash ARG:sleep 321', { profile: 'trusted' });
    world.service.offer(lease);
    await until('the tool to run', () => processesOf('sleep 321').some(({ command }) => command === 'sleep 321'));
    process.kill((await until('the runner', runnerPid)) ?? 0, 'SIGSTOP');

    const startedAt = performance.now();
    const { receipt } = await stop(lease);

    expect(receipt).toMatchObject({ processes_left: 0 });
    expect(performance.now() - startedAt).toBeLessThan(15_000);
    expect(processesOf('sleep 321')).toEqual([]);
  });

  it('ends everything from the bridge when the runner is stopped again and again', async () => {
    const lease = aLease('SCENARIO:bash ARG:sleep 322', { profile: 'trusted' });
    world.service.offer(lease);
    await until('the tool to run', () => processesOf('sleep 322').some(({ command }) => command === 'sleep 322'));
    const release = keepStopped((await until('the runner', runnerPid)) ?? 0);

    const { receipt } = await stop(lease).finally(release);

    expect(receipt).toMatchObject({ processes_left: 0 });
    expect(processesOf('sleep 322')).toEqual([]);
  });

  async function runChain(argument: string) {
    const lease = aLease(`SCENARIO:bash ARG:$CHAIN $LOCK ${argument} </dev/null >/dev/null 2>&1; sleep 320`, {
      profile: 'trusted',
    });
    world.service.offer(lease);
    await until('the chain to run', () => links() > 500);
    expect(isChainOver()).toBe(false);
    return lease;
  }

  async function stop(lease: { readonly task_id: string }) {
    const reply = await world.service.send('stop', { task_id: lease.task_id, attempt: 1, reason: 'UserStopped' });
    if (!reply.success || !reply.data) throw new Error('The stop was refused.');
    return reply.data;
  }
});

describe('the runner', () => {
  const begin = (bundle: string, log: string[] = []) =>
    startRunner({
      execPath: join(tools.directory, 'opencode'),
      bundle,
      path: '/usr/local/bin:/usr/bin:/bin',
      onSpawn: () => undefined,
      log: (_level, message) => log.push(message),
    });
  const command = (...argv: string[]) => ({
    argv,
    environment: {},
    directory: '/',
    timeout_ms: 10_000,
    max_bytes: 1_000,
  });

  it('fails a request at its deadline and is killed when it is kept from answering, and so does close', async () => {
    const runner = await begin(join(tools.directory, 'bridge.js'));
    const release = keepStopped(runner.pid);

    const failure = await runner.sweep(0).catch((error: unknown) => error);
    release();

    expect(String(failure)).toContain('did not answer a sweep');
    await runner.exited;
    expect(runner.isStuck()).toBe(false);
    await runner.close();

    const other = await begin(join(tools.directory, 'bridge.js'));
    const releaseOther = keepStopped(other.pid);
    await other.close();
    releaseOther();
    await other.exited;
    expect(processesOf(`${tools.directory}/bridge.js runner`)).toEqual([]);
  });

  it('keeps the exit code of each command while it reaps strays, however short they are', async () => {
    const runner = await begin(join(tools.directory, 'bridge.js'));

    const results = await Promise.all(
      Array.from({ length: 40 }, (_none, index) => runner.exec(command('/bin/sh', '-c', `(true &) ; exit ${index}`))),
    );
    const swept = await runner.sweep(100);
    await runner.close();

    expect(results.map(({ exit }) => exit)).toEqual(results.map((_none, index) => index));
    expect(swept).toEqual({ method: 'already_gone', left: 0, unexpected: 0 });
  });

  it('ignores and logs a line that is not of its protocol', async () => {
    const noisy = join(tools.directory, 'noisy.js');
    writeFileSync(
      noisy,
      `for (const line of ['warn: secretvalue', 'null', '7', '{}']) console.log(line);
       await import(${JSON.stringify(join(tools.directory, 'bridge.js'))});`,
    );
    const log: string[] = [];

    const runner = await begin(noisy, log);
    const { exit } = await runner.exec(command('/bin/true'));
    await runner.close();

    expect(exit).toBe(0);
    expect(log).toEqual(Array(4).fill('a line of the runner is ignored: it is not of its protocol'));
  });
});

/** Stops a process again and again until released. */
function keepStopped(pid: number): () => void {
  const timer = setInterval(() => {
    try {
      process.kill(pid, 'SIGSTOP');
    } catch {
      clearInterval(timer);
    }
  }, 1);
  return () => clearInterval(timer);
}
