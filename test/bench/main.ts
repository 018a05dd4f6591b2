import Table from 'cli-table3';
import { makeGround, type Ground } from './ground.ts';
import { loadLine, machineFacts } from './machine.ts';
import { measureDispatch } from './measure-dispatch.ts';
import { measureFanOut } from './measure-fan-out.ts';
import { measureGraph } from './measure-graph.ts';
import { measureHarness } from './measure-harness.ts';
import { measureMemory } from './measure-memory.ts';
import { measureQueue } from './measure-queue.ts';
import { measureStart } from './measure-start.ts';
import { measureThroughput } from './measure-throughput.ts';
import type { Measurement, Row } from './measurement.ts';
import { within } from './waiting.ts';

/**
 * `npm run bench [-- start dispatch throughput graph queue memory fan-out harness]`: measures all or the named, prints, asserts nothing.
 *
 * Exit codes  0 every measurement was made · 1 one could not be made · 2 no such measurement · 130 interrupted.
 * Ends        by itself in less than half an hour. No process, folder or database is left behind, except after SIGKILL.
 */
const measurements: readonly Measurement[] = [
  measureStart,
  measureDispatch,
  measureThroughput,
  measureGraph,
  measureQueue,
  measureMemory,
  measureFanOut,
  measureHarness,
];
const allLimitMs = 1_500_000;

const rowsOf = (title: string, rows: readonly Row[]): string[][] => [
  [title, '', ''],
  ...rows.map(({ what, value, note }) => [`  ${what}`, value, note]),
];

async function runAll(ground: Ground, chosen: readonly Measurement[]): Promise<{ table: string[][]; failed: number }> {
  const table: string[][] = [];
  const from = performance.now();
  let failed = 0;
  for (const { title, limitMs, measure } of chosen) {
    const tell = (line: string): void =>
      console.log(`${((performance.now() - from) / 1_000).toFixed(0).padStart(4)} s  ${title}: ${line}`);
    const leftMs = Math.max(1, allLimitMs - (performance.now() - from));
    tell('begins');
    try {
      table.push(...rowsOf(title, await within(Math.min(limitMs, leftMs), title, measure(ground, tell))));
    } catch (error) {
      failed += 1;
      const reason = error instanceof Error ? error.message : String(error);
      tell(`NOT MADE: ${reason}`);
      table.push(...rowsOf(title, [{ what: 'not made', value: '', note: reason }]));
    }
    await ground.clearMeasurement();
  }
  return { table, failed };
}

async function main(names: readonly string[]): Promise<number> {
  const unknown = names.filter((name) => !measurements.some((one) => one.name === name));
  if (unknown.length > 0) {
    console.error(
      `No measurement is called ${unknown.join(', ')}; there are ${measurements.map((one) => one.name).join(', ')}.`,
    );
    return 2;
  }
  const chosen = measurements.filter((one) => names.length === 0 || names.includes(one.name));
  for (const line of machineFacts()) console.log(line);
  const ground = await makeGround();
  const leave = (exitCode: number): void => void ground.clear().then(() => process.exit(exitCode));
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => leave(130));
  process.once('uncaughtException', (error) => {
    console.error(error);
    leave(1);
  });
  // Whoever read the lines has gone; Postgres and the service would outlive us.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => leave(130));
  try {
    console.log(`Postgres ${ground.postgres.version}, embedded, with the settings of the product`);
    const { table, failed } = await runAll(ground, chosen);
    const printed = new Table({ head: ['measured', 'value', 'note'], style: { head: [], border: [] } });
    printed.push(...table);
    console.log(printed.toString());
    console.log(`${loadLine()} at the end`);
    return failed === 0 ? 0 : 1;
  } finally {
    await ground.clear();
  }
}

// A measurement that was given up may still wait for something that never comes.
process.exit(await main(process.argv.slice(2)));
