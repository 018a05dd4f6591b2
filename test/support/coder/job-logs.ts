import { time } from './answers.ts';
import { phaseOf } from './timeline.ts';
import type { SimulatedVersion, World } from './world.ts';

const stages = {
  start: 'Setting up',
  init: 'Initializing Terraform Directory',
  plan: 'Detecting persistent resources',
  end: 'Cleaning Up',
};

/** Lines a version's import takes up in the numbering of all logs. */
const linesPerVersion = 100;

/** What the import has said by now: a few lines of each stage, and the error where it failed. */
export function importLogs(world: World, version: SimulatedVersion) {
  const phase = phaseOf(version, world.now());
  const first = [...world.versions.keys()].indexOf(version.id) * linesPerVersion + 1;
  const line = (stage: string, output: string, level = 'info') => ({
    log_source: output === '' ? 'provisioner_daemon' : 'provisioner',
    log_level: level,
    stage,
    output,
  });
  const { error } = version.ends;
  const lines = [
    ...(phase.startedAt === null
      ? []
      : [
          line(stages.start, ''),
          line(stages.init, 'Terraform 1.11.4'),
          line(stages.init, 'Initializing provider plugins...'),
        ]),
    ...(phase.completedAt === null
      ? []
      : [
          error === undefined
            ? line(stages.plan, 'Plan: 11 to add, 0 to change, 0 to destroy.')
            : line(stages.plan, `Error: ${error}`, 'error'),
          line(stages.end, ''),
        ]),
  ];
  return lines.map((one, at) => ({ id: first + at, created_at: time(version.createdAt), ...one }));
}
