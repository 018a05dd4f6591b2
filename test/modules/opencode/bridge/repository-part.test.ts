import { mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from '@jest/globals';
import { aLease, installTools, until, type TestWorkspace, type Tools } from '../../../support/bridge/bridge-process.ts';
import { startWorld, type World } from '../../../support/bridge/world.ts';

let tools: Tools;
let world: World;
beforeAll(async () => {
  tools = await installTools();
});
afterAll(() => tools.remove());
afterEach(async () => {
  expect(await world.end()).toEqual([]);
});

/** The repository of the workspace, with a folder to work in, where another program would have cloned it. */
function moved(workspace: TestWorkspace, folder: string): string {
  mkdirSync(join(workspace.repository, 'packages/api'), { recursive: true });
  writeFileSync(join(workspace.repository, 'packages/api/AGENTS.md'), 'SENTENCE-OF-THE-PART');
  symlinkSync('/', join(workspace.repository, 'packages/out'));
  workspace.git('add', '--all');
  workspace.git('commit', '--quiet', '-m', 'parts');
  const to = join(workspace.directory, folder);
  mkdirSync(join(to, '..'), { recursive: true });
  renameSync(workspace.repository, to);
  return to;
}

it('C-09 tasks work in GIT_REPO_SUBPATH of the repository below GIT_ROOT, verify command and AGENTS.md included', async () => {
  world = await startWorld({
    tools,
    environment: ({ directory }) => ({ GIT_ROOT: join(directory, 'src'), GIT_REPO_SUBPATH: 'packages/api/' }),
    prepare: ({ workspace }) => void moved(workspace, 'src/app'),
  });
  const { service, model } = world;
  const lease = aLease('SCENARIO:write ARG:made.txt|By the agent.', {
    profile: 'trusted',
    verify: { argv: ['cat', 'made.txt'], timeout_seconds: 20 },
  });

  service.offer(lease);
  const evidence = await until('the result', () => service.resultOf(lease));

  expect(evidence).toMatchObject({
    failure: null,
    changed_files: ['packages/api/made.txt'],
    verify: { exit: 0, output: 'By the agent.' },
  });
  expect(JSON.stringify(model.requests)).toContain('SENTENCE-OF-THE-PART');
});

it.each(['packages/gone', 'packages/out'])(
  'C-09 no task begins where GIT_REPO_SUBPATH is %s, which is no folder of it',
  async (subpath) => {
    world = await startWorld({
      tools,
      environment: ({ directory }) => ({ GIT_WORKSPACE_DIR: join(directory, 'here'), GIT_REPO_SUBPATH: subpath }),
      // Another repository beside it, so that only GIT_WORKSPACE_DIR says which is meant.
      prepare: ({ workspace }) => {
        const here = moved(workspace, 'here');
        mkdirSync(join(here, '../other/.git'), { recursive: true });
      },
    });
    const lease = aLease('SCENARIO:write ARG:made.txt|x');

    world.service.offer(lease);
    const evidence = await until('the result', () => world.service.resultOf(lease));

    expect(evidence.failure).toMatchObject({
      reason: 'ContextError',
      message: expect.stringContaining(`GIT_REPO_SUBPATH is ${subpath}, and the repository has no such folder`),
    });
    expect(readFileSync(join(world.workspace.directory, 'here/README.md'), 'utf8')).toBe('hello\n');
  },
);
