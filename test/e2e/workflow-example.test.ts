import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { eventually } from '../support/clock.ts';
import { script } from '../support/model/scripted-model.ts';
import { run } from '../support/terraform/terraform.ts';
import { openScene, type Scene } from './scene.ts';

const root = join(import.meta.dirname, '..', '..');
const patienceMs = 150_000;
const plays = script([
  {
    match: /Write release\.txt/,
    steps: [
      { tool: 'write', arguments: { filePath: 'release.txt', content: 'a first release\n' } },
      { tool: 'write', arguments: { filePath: 'scripts/deploy.sh', content: 'cp release.txt "deployed-$1.txt"\n' } },
      { text: 'It is written.' },
    ],
  },
  {
    match: /sh scripts\/deploy\.sh/,
    steps: [
      { tool: 'bash', arguments: { command: 'sh scripts/deploy.sh staging', description: 'Deploys' } },
      { text: 'It is deployed.' },
    ],
  },
]);

let scene: Scene;
let home: string;
beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'outrigger-example-'));
  scene = await openScene({ plays });
}, 300_000);
afterAll(async () => {
  await scene?.end();
  rmSync(home, { recursive: true, force: true });
});

describe('docs/workflows/deploy-with-approval.yaml', () => {
  it('is run by the real command, with OpenCode, and deploys once a person agreed to the command', async () => {
    const file = join(root, 'docs', 'workflows', 'deploy-with-approval.yaml');
    const words = ['workflow', 'run', file, '-p', 'environment=staging', '-w', 'canoe', '--wait'];
    const running = run(process.execPath, [join(root, 'scripts', 'outrigger.mjs'), ...words], {
      cwd: home,
      environment: {
        PATH: process.env['PATH'] ?? '',
        HOME: home,
        CODER_URL: scene.coder.url,
        CODER_SESSION_TOKEN: scene.ownerToken,
        OUTRIGGER_URL: scene.stage.serviceUrl,
      },
    });
    const asked = await eventually(
      'the question',
      async () =>
        (
          await scene.api.get<{ items: { id: string; detail: { command?: string } }[] }>(
            '/api/v2/agents/approvals?state=pending',
          )
        ).items[0],
      patienceMs,
    );
    expect(asked.detail.command).toBe('sh scripts/deploy.sh staging');
    await scene.api.post(`/api/v2/agents/approvals/${asked.id}/decision`, { decision: 'once' });

    const { code, stdout, stderr } = await running;

    expect([code, stdout]).toEqual([
      0,
      expect.stringMatching(/prepare +succeeded[^]*deploy +succeeded[^]*take-back +skipped/),
    ]);
    expect(stderr).toMatch(/deploy +(starting|running|waiting)/);
  }, 600_000);
});
