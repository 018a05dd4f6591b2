import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { nixPlace } from '../../../../modules/opencode/bridge/nix-place.ts';
import { runCommand } from '../../../../modules/opencode/bridge/runner-exec.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'outrigger-nix-place-'));
  mkdirSync(join(root, 'task'));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** `exit` is how the program ends that asks the kernel for namespaces. */
function place(nixDir: string | null, exit: number): ReturnType<typeof nixPlace> {
  writeFileSync(join(root, 'unshare'), `#!/bin/sh\nexit ${String(exit)}\n`, { mode: 0o755 });
  const exec = (command: Parameters<typeof runCommand>[0]) => runCommand(command, new Set());
  return nixPlace({ runner: { exec }, path: root, nixDir, taskDir: join(root, 'task') });
}

describe('where Nix builds', () => {
  it('is the store of the image where that can be written', async () => {
    const { environment, notice } = await place(root, 0);

    expect(Object.keys(environment)).toEqual(['NIX_CONFIG']);
    expect(notice).toBeNull();
  });

  it('is a store of the task that programs see as /nix, where the kernel lets us', async () => {
    expect(await place(join(root, 'none'), 0)).toMatchObject({
      environment: { NIX_REMOTE: join(root, 'task/nix') },
      notice: null,
    });
  });

  it('is a store of the task with a prefix of its own anywhere else, and says what that costs', async () => {
    const { environment, notice } = await place(null, 1);

    expect(environment).toMatchObject({
      NIX_STORE_DIR: join(root, 'task/nix/store'),
      NIX_STATE_DIR: join(root, 'task/nix/var'),
      NIX_CONFIG: expect.stringMatching(/accept-flake-config = false\n(.*\n)*substituters =$/),
    });
    expect(notice).toContain('from source');
  });
});
