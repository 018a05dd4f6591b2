import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { HarnessClient } from '../../../../modules/opencode/bridge/harness.ts';
import { openCode } from '../../../../modules/opencode/bridge/opencode-1/opencode.ts';
import { lastOfTurn } from '../../../../modules/opencode/bridge/turn.ts';
import { eventually } from '../../../support/clock.ts';
import { startHarnessProcess, type HarnessProcess } from '../../../support/bridge/harness-process.ts';
import { plantCanaries } from '../../../support/bridge/hostile-repository.ts';
import { startNaiveHarness } from '../../../support/bridge/naive-harness.ts';

let running: HarnessProcess;
let web: Server;
const asked: string[] = [];
beforeAll(async () => {
  web = createServer((request, response) => {
    asked.push(request.url ?? '');
    response.end('WEB-CANARY');
  });
  await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(web.address() as AddressInfo).port}`;
  running = await startHarnessProcess({
    harness: openCode,
    lease: { profile: 'trusted' },
    prepare: ({ root, repository }) => {
      mkdirSync(join(root, 'marks'));
      plantCanaries({ repository, marks: join(root, 'marks'), url });
    },
  });
}, 200_000);
afterAll(async () => {
  await running.end();
  await new Promise((resolve) => web.close(resolve));
});

const marks = (): readonly string[] => readdirSync(join(running.root, 'marks'));

let count = 0;

/** Says one thing to a session of its own, waits for the end of the answer, and answers the session. */
async function say(client: HarnessClient, text: string): Promise<string> {
  const session = await client.createSession('any');
  const messageId = `msg_hostile${(count += 1)}`;
  await client.prompt(session, { messageId, partId: `prt_hostile${count}`, text });
  await eventually('the answer', async () => {
    if ((await client.busySessions()).includes(session)) return false;
    return lastOfTurn(await client.messages(session), messageId)?.info.finish === 'stop';
  });
  return session;
}

describe('a repository in which everything that can be loaded is a trap', () => {
  it('has nothing run, asked for or told to the model when a session opens, answers, and writes a file', async () => {
    await say(running.client, 'SCENARIO:text ARG:Hello.');
    await say(running.client, 'SCENARIO:write ARG:made.md|# Made');

    expect(marks()).toEqual([]);
    expect(asked).toEqual([]);
    expect(JSON.stringify(running.model.requests)).not.toMatch(/CANARY/);
    expect(running.model.requests[0]?.tools).not.toContain('evil');
    expect(await running.client.inventory([running.repository])).toEqual({
      plugins: [{ name: 'outrigger', kind: 'file' }],
      skills: [{ name: 'customize-opencode', kind: 'built_in' }],
      mcp_servers: [],
      lsp_servers: [],
    });
  }, 200_000);

  it('gives tools no variable of its .env', async () => {
    const session = await say(running.client, 'SCENARIO:bash ARG:env');

    const printed = JSON.stringify(await running.client.messages(session));
    expect(printed).toMatch(/PATH=/);
    expect(printed).toMatch(/GIT_CONFIG_COUNT=3\\n/);
    expect(printed).not.toMatch(
      /dotenv-canary|BASH_ENV|OPENCODE_(CONFIG|CONFIG_DIR|PERMISSION|DB|SERVER_PASSWORD)=[^\\]/,
    );
    expect(marks()).toEqual([]);
  });
});

/** Shows that the traps can spring; half a minute, so only in scripts/test-harness.sh. */
const withControl = process.env['HARNESS_CONTROL'] === '1' ? it : it.skip;
withControl(
  'the same traps spring where OpenCode and git are started with their defaults',
  async () => {
    const naive = await startNaiveHarness(running.repository, running.model.url);
    try {
      await say(naive.client, 'SCENARIO:text ARG:Hello.');
      execFileSync('git', ['commit', '--quiet', '--all', '-m', 'trap'], {
        cwd: running.repository,
        stdio: 'ignore',
        env: {
          PATH: process.env['PATH'],
          HOME: running.root,
          GIT_AUTHOR_NAME: 'A',
          GIT_AUTHOR_EMAIL: 'a@b',
          GIT_COMMITTER_NAME: 'A',
          GIT_COMMITTER_EMAIL: 'a@b',
        },
      });
    } finally {
      await naive.end();
    }
    expect(marks()).toEqual(
      expect.arrayContaining([
        ...['git-filter-clean', 'git-fsmonitor', 'git-hook-pre-commit'],
        ...['mcp-folder', 'mcp-json', 'plugin-file', 'plugin-folder', 'plugin-json', 'plugins-file'],
        ...['tool-file', 'tools-file'],
      ]),
    );
    expect(asked).toEqual(expect.arrayContaining(['/instructions-json']));
  },
  200_000,
);
