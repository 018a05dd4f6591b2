import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { run, type Finished } from '../../support/terraform/terraform.ts';

const script = fileURLToPath(new URL('../../../modules/opencode/attach.sh', import.meta.url));
const key = 'k'.repeat(64);
const task = '0192f0c1-7c0e-7d5b-9c62-5f0d7a6f2c11';
const other = '0192f0c1-7c0e-7d5b-9c62-ffffffffffff';

let root: string;
let status: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'outrigger-attach-'));
  for (const folder of ['tools', 'run']) mkdirSync(join(root, folder));
  status = join(root, 'run', 'status.json');
  writeFileSync(join(root, 'tools', 'opencode'), '#!/bin/sh\necho "$@" "$OPENCODE_SERVER_PASSWORD"\n', { mode: 0o755 });
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const attach = async (): Promise<Finished> =>
  await run('sh', [script], {
    environment: {
      TOOLS_DIR: join(root, 'tools'),
      OUTRIGGER_RUN_DIR: join(root, 'run'),
      OUTRIGGER_HARNESS_KEY: key,
    },
  });
const running = (git: object): string =>
  JSON.stringify({ state: 'running', task_id: task, attempt: 2, port: 40123, session_id: 'ses_Ab12', doing: 'x', git });
const password = createHash('sha256').update(`${key}:${task}:2`).digest('hex');

describe('/tools/attach and what else the status file holds', () => {
  it.each([
    ['a plain branch', 'main'],
    ['a branch named like the fields', `","attempt":7,"task_id":"${other}","port":1,"x":"`],
    ['a branch that ends the object', `}","attempt":7,"task_id":"${other}","port":1,"session_id":"ses_evil`],
    ['a branch with a backslash and a quote', `\\","attempt":7,"port":1}`],
    ['a branch with a line end', `a\n"attempt": 7,\n"port": 1`],
  ])('joins the attempt beside %s', async (_what, branch) => {
    writeFileSync(status, running({ branch, ahead: 3, behind: 1, dirty: true }));

    expect(await attach()).toMatchObject({
      code: 0,
      stdout: `attach http://127.0.0.1:40123 --session ses_Ab12 ${password}\n`,
      stderr: '',
    });
  });

  it('takes no field from the facts about git', async () => {
    writeFileSync(status, running({ branch: 'main', port: 1, attempt: 7, task_id: other, session_id: 'ses_evil' }));

    expect((await attach()).stdout).toBe(`attach http://127.0.0.1:40123 --session ses_Ab12 ${password}\n`);
  });

  it.each<[what: string, put: () => void]>([
    [
      'a link',
      () => {
        writeFileSync(join(root, 'real'), running({}));
        symlinkSync(join(root, 'real'), status);
      },
    ],
    ['a FIFO that nobody writes', () => void execFileSync('mkfifo', [status])],
    ['a directory', () => mkdirSync(status)],
    [
      '100 MB of nothing',
      () => {
        writeFileSync(status, '');
        truncateSync(status, 100_000_000);
      },
    ],
    ['a fact behind 16 KB', () => writeFileSync(status, `${' '.repeat(16_384)}${running({})}`)],
  ])('finds no task in %s', async (_what, put) => {
    put();

    const finished = await attach();

    expect(finished.code).toBe(1);
    expect(finished.stdout).toContain('No task runs in this workspace');
  });
});
