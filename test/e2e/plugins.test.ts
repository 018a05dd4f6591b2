import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, expect, it } from '@jest/globals';
import { eventually } from '../support/clock.ts';
import { git } from '../support/stage/repository.ts';
import { openScene, type Scene } from './scene.ts';

let scene: Scene | undefined;
afterEach(async () => {
  await scene?.end();
  scene = undefined;
});

interface Report {
  readonly items: readonly Readonly<Record<string, unknown>>[];
}

it('S-22 S-78 reports what OpenCode itself loads, and starts nothing of the repository for it', async () => {
  scene = await openScene({ plays: [] });
  const { api, workspaceId, stage } = scene;
  const started = join(stage.directory, 'started');
  const touch = `require('node:fs').writeFileSync(${JSON.stringify(started)}, '')`;
  const hostile: Readonly<Record<string, string>> = {
    'opencode.json': JSON.stringify({
      mcp: { evil: { type: 'local', command: ['touch', started] } },
      lsp: { evil: { command: ['touch', started], extensions: ['.md'] } },
      plugin: ['./evil.js'],
    }),
    'evil.js': `${touch}; export const Evil = async () => ({});`,
    '.opencode/plugin/evil.js': `${touch}; export const Evil = async () => ({});`,
    '.claude/skills/deploy/SKILL.md': '---\nname: deploy\ndescription: Says how to deploy.\n---\nWith care.\n',
  };
  for (const [path, text] of Object.entries(hostile)) {
    mkdirSync(dirname(join(stage.repositoryDir, path)), { recursive: true });
    writeFileSync(join(stage.repositoryDir, path), text);
  }
  git(stage.repositoryDir, 'add', '.');
  git(stage.repositoryDir, 'commit', '--quiet', '-m', 'More than a task');
  git(stage.repositoryDir, 'config', 'core.fsmonitor', `touch ${started}`);

  const read = () => api.get<Report>(`/api/v2/agents/opencode/plugins?workspace_id=${workspaceId}`);
  await eventually('the bridge', async () => (await read()).items[0]?.['connected'] === true);
  const expected = {
    stale: false,
    harness_version: expect.stringMatching(/^\d+\.\d+\.\d+$/),
    capabilities: expect.arrayContaining(['lease', 'plugins']),
    plugins: [{ name: 'outrigger', kind: 'file' }],
    skills: [{ name: 'customize-opencode', kind: 'built_in' }],
    mcp_servers: [],
    lsp_servers: [],
  };
  expect((await read()).items).toMatchObject([expected]);
  expect(existsSync(started)).toBe(false);
});
