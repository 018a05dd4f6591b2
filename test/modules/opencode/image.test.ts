import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { paths } from '../../../modules/contract.ts';
import { run, type Finished } from '../../support/terraform/terraform.ts';

const room = (name: string): string => fileURLToPath(new URL(`../../../modules/opencode/${name}`, import.meta.url));
const dockerfile = readFileSync(room('Dockerfile'), 'utf8');

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'outrigger-image-'));
});
afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

describe('the OpenCode image', () => {
  it('takes OpenCode from the version that the lock file pins', () => {
    const require = createRequire(import.meta.url);
    const { optionalDependencies } = require('../../../package.json') as {
      optionalDependencies: Record<string, string>;
    };

    expect(optionalDependencies['opencode-linux-x64']).toMatch(/^\d+\.\d+\.\d+$/);
    expect(dockerfile).toContain('package="/node_modules/opencode-linux-');
  });

  it('holds every file that its init puts into /tools, under its checksum', () => {
    const put = [...readFileSync(room('init.sh'), 'utf8').matchAll(/^ *put (\S+) 0\d+$/gm)].map(([, name]) => name);
    const checked = /sha256sum (.*) > version/.exec(dockerfile)?.[1]?.split(' ') ?? [];

    expect(put.length).toBeGreaterThan(4);
    expect([...checked].sort()).toEqual([...put].sort());
  });

  it('gives every folder that a volume is first mounted on to 1000:0', () => {
    for (const path of [paths.tools, paths.workspace, paths.home, paths.agent, paths.customCa]) {
      expect(dockerfile).toMatch(new RegExp(`chown 1000:0 .*${path}\\b`));
    }
  });
});

describe('/tools/attach', () => {
  const key = 'k'.repeat(64);
  const task = '0192f0c1-7c0e-7d5b-9c62-5f0d7a6f2c11';

  const attach = async (status: string | null, environment: Record<string, string> = {}): Promise<Finished> => {
    const [tools, state] = [join(root, 'tools'), join(root, 'run')];
    mkdirSync(tools);
    mkdirSync(state);
    writeFileSync(join(tools, 'opencode'), '#!/bin/sh\necho "$@" "$OPENCODE_SERVER_PASSWORD"\n', { mode: 0o755 });
    if (status !== null) writeFileSync(join(state, 'status.json'), status);
    return await run('sh', [room('attach.sh')], {
      environment: { TOOLS_DIR: tools, OUTRIGGER_RUN_DIR: state, OUTRIGGER_HARNESS_KEY: key, ...environment },
    });
  };

  it.each([
    ['on one line', JSON.stringify({ task_id: task, attempt: 2 })],
    ['over several lines', JSON.stringify({ state: 'running', task_id: task, attempt: 2, more: [] }, null, 2)],
    ['at its end', `{ "x": 1,\n  "attempt": 2,\n  "task_id": "${task}"\n}`],
  ])('joins the running attempt with the password derived from its id, the state %s', async (_how, status) => {
    const password = createHash('sha256').update(`${key}:${task}:2`).digest('hex');

    expect(await attach(status)).toMatchObject({ code: 0, stdout: `attach http://127.0.0.1:4096 ${password}\n` });
  });

  it('opens the session of the attempt, at its port', async () => {
    const status = JSON.stringify({ task_id: task, attempt: 1, port: 40123, session_id: 'ses_Ab12' });

    expect((await attach(status)).stdout).toMatch(
      /^attach http:\/\/127\.0\.0\.1:40123 --session ses_Ab12 [0-9a-f]{64}\n$/,
    );
  });

  it('takes no session id that could be an option or a command', async () => {
    const status = JSON.stringify({ task_id: task, attempt: 1, port: '1;id', session_id: 'ses_x --fork' });

    expect((await attach(status)).stdout).toMatch(/^attach http:\/\/127\.0\.0\.1:4096 [0-9a-f]{64}\n$/);
  });

  it.each([
    ['there is no state', null],
    ['nothing runs', '{"task_id": null, "attempt": null}'],
    ['the id is not one', '{"task_id": "$(id)", "attempt": 1}'],
    ['the attempt is not a number', `{"task_id": "${task}", "attempt": "1; id"}`],
  ])('says that nothing runs when %s', async (_what, status) => {
    const finished = await attach(status);

    expect(finished.code).toBe(1);
    expect(finished.stdout).toContain('No task runs in this workspace');
  });

  it.each(['starting', 'finishing'])('hands the password to nobody while the attempt is %s', async (state) => {
    const finished = await attach(JSON.stringify({ state, task_id: task, attempt: 1, port: null }));

    expect(finished.code).toBe(1);
    expect(finished.stdout).toMatch(/^OpenCode (is still starting|has ended)/);
  });

  it('says what is missing outside of a workspace terminal', async () => {
    const finished = await attach(JSON.stringify({ task_id: task, attempt: 1 }), { OUTRIGGER_HARNESS_KEY: '' });

    expect(finished.code).toBe(2);
    expect(finished.stderr).toContain('OUTRIGGER_HARNESS_KEY');
  });
});
