import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from '@jest/globals';
import { aLease, installTools, processesOf, until } from '../../../support/bridge/bridge-process.ts';
import { startWorld } from '../../../support/bridge/world.ts';

/** Takes about ten seconds a task, so only where it is asked for: scripts/test-harness.sh. */
const tasks = Number(process.env['GROWTH_TASKS'] ?? '0');
const withTasks = tasks > 0 ? it : it.skip;

interface Look {
  readonly processes: number;
  readonly descriptors: number;
  readonly residentMiB: number;
  readonly taskFolders: number;
  readonly otherFiles: number;
}

const residentMiB = (pid: number): number =>
  Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1_024;

const median = (values: readonly number[]): number =>
  [...values].sort((one, other) => one - other)[Math.floor(values.length / 2)] ?? NaN;

withTasks(
  'a bridge that has done many tasks has no more processes, open files or memory than after the first',
  async () => {
    const tools = await installTools();
    const world = await startWorld({ tools });
    const { bridge, service, workspace } = world;
    const look = (): Look => ({
      processes: processesOf(tools.directory, workspace.directory).length,
      descriptors: readdirSync(`/proc/${bridge.pid}/fd`).length,
      residentMiB: residentMiB(bridge.pid),
      taskFolders: readdirSync(join(workspace.agentDir, 'tasks')).length,
      otherFiles: readdirSync(workspace.agentDir, { recursive: true }).filter(
        (path) => !String(path).startsWith('tasks/'),
      ).length,
    });
    const looks: Look[] = [];
    try {
      for (let count = 0; count < tasks; count += 1) {
        const lease = aLease('SCENARIO:text ARG:Done.', { profile: 'read-only' });
        service.offer(lease);
        const evidence = await until('the result', () => service.resultOf(lease), 180_000);
        expect(evidence.failure).toBeNull();
        await until('its end', () => processesOf(tools.directory, workspace.directory).length === 1, 120_000);
        looks.push(look());
      }
    } finally {
      process.stdout.write(
        ['task  processes  descriptors  MiB  task folders  other files']
          .concat(
            looks
              .map(({ residentMiB: mebibytes, ...one }, index) => ({ index, ...one, mebibytes }))
              .filter(({ index }) => index % Math.max(1, Math.floor(tasks / 20)) === 0 || index === looks.length - 1)
              .map((one) =>
                [
                  one.index + 1,
                  one.processes,
                  one.descriptors,
                  Math.round(one.mebibytes),
                  one.taskFolders,
                  one.otherFiles,
                ]
                  .map(String)
                  .join('  '),
              ),
          )
          .join('\n') + '\n',
      );
      expect(await world.end()).toEqual([]);
      tools.remove();
    }
    const part = Math.max(1, Math.floor(tasks / 5));
    const [early, late] = [looks.slice(0, part), looks.slice(-part)];
    expect(median(late.map(({ processes }) => processes))).toBe(1);
    expect(median(late.map(({ descriptors }) => descriptors))).toBeLessThanOrEqual(
      median(early.map(({ descriptors }) => descriptors)) + 2,
    );
    // The collector decides when memory is given back; what is lost at each task would be more than this.
    expect(median(late.map((one) => one.residentMiB))).toBeLessThan(median(early.map((one) => one.residentMiB)) + 32);
    expect(Math.max(...looks.map(({ taskFolders }) => taskFolders))).toBeLessThanOrEqual(65);
    expect(late.at(-1)?.otherFiles).toBeLessThanOrEqual((early.at(-1)?.otherFiles ?? 0) + 2);
  },
  Math.max(1, tasks) * 300_000,
);
