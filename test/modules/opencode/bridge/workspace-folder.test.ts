import { existsSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from '@jest/globals';
import { worktreesDir } from '../../../../modules/contract.ts';
import { aLease, installTools, until, type Tools } from '../../../support/bridge/bridge-process.ts';
import { startWorld, type World } from '../../../support/bridge/world.ts';

let tools: Tools;
let world: World;
beforeAll(async () => {
  tools = await installTools();
});
afterAll(() => tools.remove());
beforeEach(async () => {
  world = await startWorld({ tools });
});
afterEach(async () => {
  expect(await world.end()).toEqual([]);
});

it('O-39 works below the workspace, finds its context files there, and leaves git clean', async () => {
  const { service, workspace } = world;
  const git = { before: workspace.git('status', '--porcelain', '--ignored'), head: workspace.git('rev-parse', 'main') };
  const looks = ['pwd', 'cat "$W/task.md" "$W/.outrigger/tasks/$TASK_ID/task.md"', 'git status --porcelain --ignored'];
  // By a variable, because OpenCode refuses a command line that names a path outside of the work tree.
  const line = `W=$(dirname "$(dirname "$(dirname "$PWD")")"); { ${looks.join('; ')}; } > "$W/report.txt"`;
  const lease = aLease(`SCENARIO:bash ARG:${line}`);

  service.offer(lease);
  await service.decide(await until('the ask', () => service.asks[0]), 'once');
  const evidence = await until('the result', () => service.resultOf(lease));
  const worktree = workspace.worktreeOf(lease);
  expect(worktree.startsWith(join(workspace.directory, worktreesDir))).toBe(true);
  const report = readFileSync(join(workspace.directory, 'report.txt'), 'utf8');
  expect(report).toBe(`${realpathSync(worktree)}\n${lease.prompt}${lease.prompt}`);
  expect(evidence).toMatchObject({ failure: null, commit: null, changed_files: [], diff: { files: 0 } });
  for (const file of ['task.md', `.outrigger/tasks/${lease.task_id}/task.md`])
    expect(readFileSync(join(workspace.directory, file), 'utf8')).toBe(lease.prompt);
  expect(existsSync(join(workspace.repository, 'task.md'))).toBe(false);
  expect({
    before: workspace.git('status', '--porcelain', '--ignored'),
    head: workspace.git('rev-parse', 'main'),
  }).toEqual(git);
  expect(git.before).toBe('');
});
