import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { harnessEnvironment, writeHarnessFiles } from '../../../../modules/opencode/bridge/opencode-1/files.ts';
import { permissionsOf } from '../../../../modules/opencode/bridge/opencode-1/permissions.ts';
import { taskDirectories } from '../../../../modules/opencode/bridge/task-directories.ts';
import { aLease } from '../../../support/bridge/bridge-process.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'outrigger-environment-'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

it('a harness gets every variable of OpenCode that says what it may be, and files that are there and hold no secret (part of C-06)', () => {
  const lease = aLease('x', { profile: 'ask' });
  const directories = taskDirectories(root, lease.task_id);
  const plan = {
    ...{ lease, directories, password: 'canarypassword', path: '/tools:/usr/bin', inherited: { LANG: 'C' } },
    ...{ context: '/workspace/.outrigger/context.md', gitSettings: [], now: new Date(0) },
    workTree: { path: root, folder: root },
    modelUrl: 'http://127.0.0.1:3001/llm/place/v1',
  };

  writeHarnessFiles(plan);
  const environment = harnessEnvironment(plan);

  const config = join(directories.config, 'opencode');
  expect(environment).toMatchObject({
    OPENCODE_CONFIG: join(config, 'opencode.json'),
    OPENCODE_TUI_CONFIG: join(config, 'tui.json'),
    OPENCODE_CONFIG_CONTENT: JSON.stringify({ instructions: ['/workspace/.outrigger/context.md'] }),
    OPENCODE_DB: join(directories.data, 'opencode', 'opencode.db'),
    OPENCODE_SERVER_PASSWORD: 'canarypassword',
    OPENCODE_SERVER_USERNAME: 'opencode',
  });
  expect(JSON.parse(environment['OPENCODE_PERMISSION'] ?? '')).toEqual(permissionsOf.ask);
  // `opencode debug config` prints the environment of MCP servers in clear: there is none to print.
  expect(JSON.parse(readFileSync(environment['OPENCODE_CONFIG'] ?? '', 'utf8'))).toMatchObject({ mcp: {} });
  expect(JSON.parse(readFileSync(environment['OPENCODE_TUI_CONFIG'] ?? '', 'utf8'))).toHaveProperty('$schema');
  const files = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  expect(files.length).toBeGreaterThan(4);
  for (const { parentPath, name } of files) expect(readFileSync(join(parentPath, name), 'utf8')).not.toMatch(/canary/);
});
