import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import { run } from '../../support/terraform/terraform.ts';

const script = fileURLToPath(new URL('../../../modules/workspace/home.sh', import.meta.url));

describe('modules/workspace/home.sh', () => {
  it('fills an empty home once and never touches what its owner has changed', async () => {
    const home = mkdtempSync(join(tmpdir(), 'outrigger-home-'));
    const start = async () => await run('sh', [script], { environment: { HOME: home } });
    try {
      expect(await start()).toMatchObject({ code: 0, stdout: '', stderr: '' });
      expect(readdirSync(join(home, '.local/state/outrigger'))).toEqual(['home']);

      writeFileSync(join(home, '.bashrc'), 'mine\n');
      await start();
      expect(readFileSync(join(home, '.bashrc'), 'utf8')).toBe('mine\n');
    } finally {
      rmSync(home, { recursive: true, force: true });
    }
  });
});
