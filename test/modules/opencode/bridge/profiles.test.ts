import { describe, expect, it } from '@jest/globals';
import { profiles } from '../../../../modules/contract.ts';
import { openCode } from '../../../../modules/opencode/bridge/opencode-1/opencode.ts';
import { permissionsOf } from '../../../../modules/opencode/bridge/opencode-1/permissions.ts';
import { taskBody } from '../../../../service/tasks/submit-task.ts';
import { makeTasksRoom } from '../../../support/tasks-room.ts';

const asked = [
  '.git',
  '.opencode',
  '.vscode',
  '.ambient',
  '.husky',
  '.githooks',
  '.envrc',
  '.mcp.json',
  '.gitattributes',
  '.gitmodules',
  '.gitconfig',
  '.git/**',
  '.opencode/**',
  '.vscode/**',
  '.ambient/**',
  '.husky/**',
  '.githooks/**',
];

/** To the letter, because OpenCode ignores a key that it does not know. */
const golden = {
  'read-only': {
    '*': 'deny',
    read: { '*': 'allow', '*.env': 'deny', '*.env.*': 'deny', '*.env.example': 'allow' },
    list: 'allow',
    glob: 'allow',
    grep: 'allow',
    edit: 'deny',
    bash: 'deny',
    task: 'deny',
    todowrite: 'deny',
    question: 'deny',
    webfetch: 'deny',
    websearch: 'deny',
    lsp: 'deny',
    skill: 'deny',
    doom_loop: 'deny',
    external_directory: 'deny',
  },
  ask: {
    '*': 'ask',
    read: { '*': 'allow', '*.env': 'ask', '*.env.*': 'ask', '*.env.example': 'allow' },
    list: 'allow',
    glob: 'allow',
    grep: 'allow',
    edit: {
      '*': 'allow',
      ...Object.fromEntries(
        asked.flatMap((one) => [
          [one, 'ask'],
          [`**/${one}`, 'ask'],
        ]),
      ),
    },
    bash: 'ask',
    task: 'ask',
    todowrite: 'allow',
    question: 'deny',
    webfetch: 'ask',
    websearch: 'ask',
    lsp: 'ask',
    skill: 'ask',
    doom_loop: 'ask',
    external_directory: 'deny',
  },
  trusted: { '*': 'allow', question: 'deny', doom_loop: 'deny', external_directory: 'deny' },
};

describe('P-83 permission profiles', () => {
  it('are read-only, ask and trusted, each with exactly this permission map of OpenCode', () => {
    expect(profiles).toEqual(['read-only', 'ask', 'trusted']);
    expect(permissionsOf).toEqual(golden);
  });

  it('put the star first in every map, because the last rule that matches wins', () => {
    for (const map of [...Object.values(permissionsOf), ...Object.values(permissionsOf).flatMap(Object.values)])
      if (typeof map === 'object') expect(Object.keys(map)[0]).toBe('*');
  });

  it('say of which tools no call may end without an allowed question', () => {
    expect(profiles.map((profile) => openCode.asking(profile))).toEqual([
      [],
      ['bash', 'task', 'webfetch', 'websearch', 'skill'],
      [],
    ]);
  });

  it('are `ask` where nobody chose one', async () => {
    const room = await makeTasksRoom();
    const id = await room.submit();

    expect((await room.task(id)).profile).toBe('ask');
    expect(() => taskBody.parse({ type: 'opencode', payload: { action: 'x', prompt: 'x' }, profile: 'all' })).toThrow();
    await room.close();
  });
});
