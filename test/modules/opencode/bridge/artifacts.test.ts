import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { artifactBounds, unknownCommand } from '../../../../modules/contract.ts';
import {
  artifactsOf,
  collectArtifacts,
  makeArtifactsDir,
  nameFor,
  type SendArtifact,
} from '../../../../modules/opencode/bridge/artifacts.ts';

let workspaceDir: string;
let folder: string;
const ref = { task_id: randomUUID(), attempt: 1 };
beforeEach(() => {
  workspaceDir = mkdtempSync(join(tmpdir(), 'outrigger-workspace-'));
  folder = makeArtifactsDir(workspaceDir, ref.task_id) ?? '';
});
afterEach(() => rmSync(workspaceDir, { recursive: true, force: true }));

/** The service, as far as files go; `failing` says how many calls are lost on the way. */
function makeStore(failing = 0) {
  const files = new Map<string, Buffer>();
  const state = { calls: 0 };
  const send: SendArtifact = ({ name, bytes, offset, data }) => {
    state.calls += 1;
    if (state.calls <= failing) return Promise.reject(new Error('Not connected to the service.'));
    const stored = files.get(name) ?? Buffer.alloc(0);
    const next = offset === stored.length ? Buffer.concat([stored, Buffer.from(data, 'base64')]) : stored;
    files.set(name, next);
    return Promise.resolve({ success: true, data: { received: next.length, complete: next.length === bytes } });
  };
  return { files, send, state };
}
const collect = (send: SendArtifact, limitMs = 60_000) => collectArtifacts({ workspaceDir, ref, send, limitMs });

describe('the files that an attempt leaves', () => {
  it('are sent whole, in pieces, with the folders they lie in, also when the service is away for a moment', async () => {
    const large = Buffer.alloc(2 * artifactBounds.chunkBytes + 7, 'xyz');
    mkdirSync(join(folder, 'out'));
    writeFileSync(join(folder, 'out/large.bin'), large);
    writeFileSync(join(folder, 'empty'), '');
    const { files, send } = makeStore(2);

    expect(await collect(send)).toEqual({ files: 2, skipped: [] });
    expect(files.get('out/large.bin')?.equals(large)).toBe(true);
    expect(files.get('empty')?.length).toBe(0);
  });

  it('are plain files of the folder and nothing else: no link is followed, and no pipe is waited for', async () => {
    writeFileSync(join(folder, 'good.txt'), 'good');
    symlinkSync('/etc/passwd', join(folder, 'passwd'));
    symlinkSync('/etc', join(folder, 'etc'));
    symlinkSync('good.txt', join(folder, 'inner'));
    execFileSync('mkfifo', [join(folder, 'pipe')]);
    writeFileSync(join(folder, 'huge.bin'), '');
    truncateSync(join(folder, 'huge.bin'), artifactBounds.fileBytes + 1);
    linkSync(join(folder, 'good.txt'), join(folder, 'same.txt'));
    const { files, send } = makeStore();

    const collected = await collect(send);

    expect([...files.keys()].sort()).toEqual(['good.txt', 'same.txt']);
    expect(collected.skipped).toEqual([{ name: 'huge.bin', why: 'it is larger than 16 MiB' }]);
  });

  it.each(['the folder', 'its parent'])('are not looked for where %s is a link', async (which) => {
    const elsewhere = mkdtempSync(join(tmpdir(), 'outrigger-elsewhere-'));
    mkdirSync(join(elsewhere, ref.task_id));
    for (const place of [elsewhere, join(elsewhere, ref.task_id)]) writeFileSync(join(place, 'secret'), 'secret');
    const replaced = which === 'the folder' ? folder : join(workspaceDir, 'artifacts');
    rmSync(replaced, { recursive: true });
    symlinkSync(elsewhere, replaced);
    const { files, send } = makeStore();

    await collect(send);

    expect(files.size).toBe(0);
    expect(makeArtifactsDir(workspaceDir, ref.task_id)).toBeNull();
    rmSync(elsewhere, { recursive: true });
  });

  it('are left where the service keeps none, or does not take them, or no time is left', async () => {
    writeFileSync(join(folder, 'a'), 'a');
    const answers =
      (error: string): SendArtifact =>
      () =>
        Promise.resolve({ success: false, error });
    const stuck: SendArtifact = () => Promise.resolve({ success: true, data: { received: 0, complete: false } });

    expect((await collect(answers(unknownCommand('artifact')))).skipped).toMatchObject([
      { why: 'the service keeps no files' },
    ]);
    expect((await collect(answers('full'))).skipped).toEqual([{ name: 'a', why: 'full' }]);
    expect((await collect(stuck)).skipped).toEqual([{ name: 'a', why: 'the service did not take it' }]);
    expect((await collect(makeStore().send, -1)).skipped).toEqual([{ name: 'a', why: 'there was no time left' }]);
    expect(artifactsOf(workspaceDir, ref.task_id)).toBe(folder);
  });

  it('get names that every service and file system takes, each its own', () => {
    const taken = new Set<string>();
    const names = ['a:b', 'a*b', 'x\u0007y', `${'d'.repeat(300)}/e`, 'a b/c'].map((path) => nameFor(path, taken));

    for (const name of names) expect(name).toMatch(artifactBounds.name);
    expect(names.slice(0, 3)).toEqual(['a_b', 'a_b~2', 'x_y']);
    expect(new Set(names).size).toBe(names.length);
  });
});
