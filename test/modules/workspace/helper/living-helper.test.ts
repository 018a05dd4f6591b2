import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { helperPidFile, livingHelper } from '../../../../modules/workspace/helper/serve.ts';

describe('the helper of an earlier start', () => {
  it('is not taken for alive when the shell that starts the next one has its process id', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'outrigger-living-'));
    const shell = spawn('sh', ['-c', 'read -r line; :', 'helper', '/tools/helper.js', 'serve'], { stdio: 'pipe' });
    try {
      await once(shell, 'spawn');
      writeFileSync(helperPidFile(folder), String(shell.pid));

      expect(livingHelper(folder)).toBeNull();
    } finally {
      shell.stdin.end();
      await once(shell, 'close');
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
