import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from '@jest/globals';
import { makeRepository } from '../../../support/stage/repository.ts';
import { aLease, installTools, until, type Tools } from '../../../support/bridge/bridge-process.ts';
import { startWorld, type World } from '../../../support/bridge/world.ts';
import { cloneScriptUrl } from '../../../../modules/workspace/clone-repository.ts';
import { fileURLToPath } from 'node:url';

let tools: Tools;
let world: World;
beforeAll(async () => {
  tools = await installTools();
});
afterAll(() => tools.remove());
afterEach(async () => {
  expect(await world.end()).toEqual([]);
});

const ours = 'SENTENCE-OF-THE-CONTEXT';
const theirs = 'SENTENCE-OF-THE-REPOSITORY';

it('C-05 O-74 a task in a clone made by GIT_REPO and GIT_REF knows .outrigger/context.md beside the repository’s AGENTS.md, and no such file is written', async () => {
  world = await startWorld({
    tools,
    environment: ({ directory }) => ({ GIT_ROOT: join(directory, 'git') }),
    prepare: ({ workspace: { directory, repository } }) => {
      // As the containers of a workspace come up: the clone, then what the person wrote, then the bridge.
      rmSync(repository, { recursive: true });
      const remote = join(directory, '..', 'users.git');
      mkdirSync(remote);
      makeRepository(remote, { 'AGENTS.md': theirs });
      execFileSync('sh', [fileURLToPath(cloneScriptUrl)], {
        stdio: 'ignore',
        env: {
          PATH: process.env['PATH'],
          HOME: join(directory, '..'),
          WORKSPACE_DIR: directory,
          OUTRIGGER_RUN_DIR: join(directory, '..'),
          GIT_REPO: `file://${remote}`,
          GIT_REF: 'main',
          GIT_ROOT: join(directory, 'git'),
        },
      });
      mkdirSync(join(directory, '.outrigger'));
      writeFileSync(join(directory, '.outrigger/context.md'), ours);
      execFileSync('chmod', ['-R', 'a+rwX', directory]);
    },
  });
  const { service, model, workspace } = world;
  const lease = aLease('SCENARIO:write ARG:made.txt|By the agent.', { profile: 'trusted' });

  service.offer(lease);
  const evidence = await until('the result', () => service.resultOf(lease));

  expect(evidence).toMatchObject({ failure: null, changed_files: ['made.txt'] });
  const asked = JSON.stringify(model.requests);
  expect([asked.includes(ours), asked.includes(theirs)]).toEqual([true, true]);
  for (const name of ['AGENTS.md', 'CLAUDE.md']) expect(existsSync(join(workspace.directory, name))).toBe(false);
  expect(existsSync(join(workspace.worktreeOf(lease), 'CLAUDE.md'))).toBe(false);
});

it('C-05 a task begins where something else has the name of the context', async () => {
  world = await startWorld({
    tools,
    prepare: ({ workspace: { directory } }) => {
      mkdirSync(join(directory, '.outrigger'), { mode: 0o777 });
      execFileSync('mkfifo', [join(directory, '.outrigger/context.md')]);
      execFileSync('chmod', ['-R', 'a+rwX', join(directory, '.outrigger')]);
    },
  });
  const lease = aLease('SCENARIO:write ARG:made.txt|x', { profile: 'trusted' });

  world.service.offer(lease);

  expect((await until('the result', () => world.service.resultOf(lease))).failure).toBeNull();
});
