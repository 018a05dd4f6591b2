import { readFileSync, readdirSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';
import { mebibytes } from './statistics.ts';

/** What the numbers depend on, as lines for a person. */
export function machineFacts(): readonly string[] {
  const processors = cpus();
  return [
    `${processors.length} × ${processors[0]?.model.trim() ?? 'unknown processor'}, ${mebibytes(totalmem())}, ${process.platform} ${process.arch}`,
    `Node ${process.versions.node}, @dbos-inc/dbos-sdk ${versionOf('@dbos-inc/dbos-sdk')}, graphile-worker ${versionOf('graphile-worker')}, pg-boss ${versionOf('pg-boss')}`,
    loadLine(),
  ];
}

/** A shared machine is never idle: read the numbers beside this. */
export const loadLine = (): string =>
  `load average ${loadavg()
    .map((load) => load.toFixed(2))
    .join(' ')}`;

/** Dependencies are exact versions. */
function versionOf(name: string): string {
  const { dependencies, devDependencies } = JSON.parse(
    readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
  ) as Record<string, Record<string, string>>;
  return { ...dependencies, ...devDependencies }[name] ?? 'of an unknown version';
}

/** Resident memory in bytes. Linux only: other systems count shared pages differently. */
export function residentBytes(pid: number): number {
  const kibibytes = /^VmRSS:\s+(\d+) kB/m.exec(readProcess(pid, 'status'))?.[1];
  if (kibibytes === undefined) throw new Error(`Process ${pid} has ended, so its memory cannot be read.`);
  return Number(kibibytes) * 1_024;
}

/** Processor time a process has used so far. Linux counts it in ticks of 10 ms. */
export function processorMs(pid: number): number {
  const fields = readProcess(pid, 'stat')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/** The process and its children. A Postgres server has one for each connection. */
export function family(pid: number): readonly number[] {
  const children = readdirSync('/proc').filter((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      return (
        readProcess(Number(name), 'stat')
          .replace(/^.*\) /, '')
          .split(' ')[1] === String(pid)
      );
    } catch {
      return false;
    }
  });
  return [pid, ...children.map(Number)];
}

function readProcess(pid: number, file: 'stat' | 'status'): string {
  return readFileSync(`/proc/${pid}/${file}`, 'utf8');
}
