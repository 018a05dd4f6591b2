import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { withFileLock } from '../../service/platform/file-lock.ts';
import { identifyProcess, isRunning, ownIdentity } from '../../service/platform/process-identity.ts';

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'outrigger-file-lock-'));
  path = join(folder, 'lock');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const answer = () => Promise.resolve('done');

describe('withFileLock', () => {
  it('runs one caller at a time, also within one process', async () => {
    let inside = 0;
    let most = 0;
    const work = async () => {
      most = Math.max(most, ++inside);
      await new Promise((resolve) => setImmediate(resolve));
      inside--;
    };

    await Promise.all(Array.from({ length: 5 }, () => withFileLock(path, 10_000, work)));

    expect(most).toBe(1);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('is free again when the work fails', async () => {
    await expect(withFileLock(path, 0, () => Promise.reject(new Error('no')))).rejects.toThrow('no');

    expect(await withFileLock(path, 0, answer)).toBe('done');
  });

  it('names the holder when it does not finish in time', async () => {
    await withFileLock(path, 0, async () => {
      await expect(withFileLock(path, 0, answer)).rejects.toMatchObject({
        kind: 'unavailable',
        code: 'lock_held',
        message: expect.stringContaining(`Process ${process.pid} holds ${path}`),
      });
    });
  });

  it('is recovered from a holder that died', async () => {
    const child = spawn('true');
    const dead = { pid: child.pid, startedAt: 'boot:1', nonce: 'x' };
    await once(child, 'exit');
    writeFileSync(path, JSON.stringify(dead));

    expect(await withFileLock(path, 0, answer)).toBe('done');
    expect(readdirSync(folder)).toEqual([]);
  });

  it('is recovered when the number of a dead holder went to another process', async () => {
    writeFileSync(path, JSON.stringify({ ...ownIdentity(), startedAt: 'an earlier boot:1', nonce: 'x' }));

    expect(await withFileLock(path, 0, answer)).toBe('done');
  });

  it('is recovered when a power loss left it empty', async () => {
    writeFileSync(path, '');

    expect(await withFileLock(path, 0, answer)).toBe('done');
  });
});

describe('process identity', () => {
  it('knows a living process and not one that ended', async () => {
    const child = spawn('sleep', ['60']);
    const identity = identifyProcess(child.pid ?? 0);
    if (identity === undefined) throw new Error('The child lives and has no identity.');
    expect(isRunning(identity)).toBe(true);

    child.kill('SIGKILL');
    await once(child, 'exit');

    expect(isRunning(identity)).toBe(false);
    expect(identifyProcess(child.pid ?? 0)).toBeUndefined();
  });

  it.each([0, -1, Number.NaN, 2 ** 53])('answers nothing for %d, which is no process', (pid) => {
    expect(identifyProcess(pid)).toBeUndefined();
  });
});
