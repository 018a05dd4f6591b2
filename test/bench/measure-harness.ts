import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HarnessClient } from '../../modules/opencode/bridge/harness.ts';
import { openCode } from '../../modules/opencode/bridge/opencode-1/opencode.ts';
import { aLease, installTools, processesOf, until } from '../support/bridge/bridge-process.ts';
import { startHarnessProcess } from '../support/bridge/harness-process.ts';
import { startNaiveHarness } from '../support/bridge/naive-harness.ts';
import { startWorld } from '../support/bridge/world.ts';
import { startScriptedModel, type ScriptedModel } from '../support/model/scripted-model.ts';
import { makeRepository } from '../support/stage/repository.ts';
import { processorMs, residentBytes } from './machine.ts';
import type { Measurement, Row } from './measurement.ts';
import { mebibytes, median, seconds } from './statistics.ts';

const rounds = 5;

interface Started {
  readonly client: HarnessClient;
  readonly pid: number;
  readonly model: ScriptedModel;
  end(): Promise<void>;
}

/** From the start of the program; the processor's time is that of the program alone. */
interface Cold {
  readonly acceptedMs: number;
  readonly heardMs: number;
  readonly heardProcessorMs: number;
}

async function startOnce(start: () => Promise<Started>): Promise<Cold> {
  const from = performance.now();
  const { client, pid, model, end } = await start();
  try {
    const session = await client.createSession('bench');
    await client.prompt(session, { messageId: 'msg_bench', partId: 'prt_bench', text: 'SCENARIO:text ARG:Hello.' });
    const acceptedMs = performance.now() - from;
    await until('a request to the model', () => model.requests.length > 0, 180_000);
    return { acceptedMs, heardMs: performance.now() - from, heardProcessorMs: processorMs(pid) };
  } finally {
    await end();
  }
}

async function startOurs(): Promise<Started> {
  const ours = await startHarnessProcess({ harness: openCode });
  return { client: ours.client, pid: ours.pid, model: ours.model, end: ours.end };
}

async function startNaive(): Promise<Started> {
  const repository = mkdtempSync(join(tmpdir(), 'outrigger-bench-'));
  makeRepository(repository);
  const model = await startScriptedModel();
  const naive = await startNaiveHarness(repository, model.url);
  return {
    client: naive.client,
    pid: naive.pid,
    model,
    async end() {
      await naive.end();
      await model.close();
      rmSync(repository, { recursive: true, force: true });
    },
  };
}

/** One bridge with all that runs below it: alone, and while a tool of its task runs. */
async function sidecarMemory(): Promise<{ readonly idle: number; readonly busy: number }> {
  const tools = await installTools();
  const world = await startWorld({ tools });
  try {
    const memory = (): number => processesOf(tools.directory).reduce((sum, { pid }) => sum + residentBytes(pid), 0);
    await until('the bridge', () => world.bridge.lines.some((line) => line.includes('ready for work')), 120_000);
    const idle = memory();
    const lease = aLease('SCENARIO:bash ARG:sleep 5', { profile: 'trusted' });
    world.service.offer(lease);
    await until('the tool', () => processesOf('sleep 5').length > 0, 180_000);
    const busy = memory();
    await until('the result', () => world.service.resultOf(lease), 180_000);
    return { idle, busy };
  } finally {
    await world.end();
    tools.remove();
  }
}

/** The real OpenCode, started as an attempt starts it, in turns with a start that changes nothing. */
export const measureHarness: Measurement = {
  name: 'harness',
  title: 'harness in a workspace',
  limitMs: 600_000,
  async measure(_ground, tell): Promise<readonly Row[]> {
    const [ours, naive]: [Cold[], Cold[]] = [[], []];
    for (let round = 0; round < rounds; round += 1) {
      ours.push(await startOnce(startOurs));
      naive.push(await startOnce(startNaive));
      tell(`cold start: ours ${seconds(ours.at(-1)?.heardMs ?? NaN)}, naive ${seconds(naive.at(-1)?.heardMs ?? NaN)}`);
    }
    const row = (what: string, read: (one: Cold) => number): Row => {
      const [mine, theirs] = [median(ours.map(read)), median(naive.map(read))];
      return {
        what,
        value: `${seconds(mine)} · ${seconds(theirs)} · ${(mine / theirs).toFixed(2)} ×`,
        note: `ours · naive · ratio; medians of ${rounds} in turns`,
      };
    };
    const { idle, busy } = await sidecarMemory();
    return [
      row('cold start → the prompt is taken (204)', ({ acceptedMs }) => acceptedMs),
      row('cold start → the model is asked', ({ heardMs }) => heardMs),
      row('… processor time of OpenCode', ({ heardProcessorMs }) => heardProcessorMs),
      { what: 'memory of a sidecar, idle', value: mebibytes(idle), note: 'n=1; the bridge' },
      {
        what: 'memory of a sidecar, busy',
        value: mebibytes(busy),
        note: 'n=1; bridge, runner, OpenCode; shared pages count each time',
      },
    ];
  },
};
