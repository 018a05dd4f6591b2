import { createHmac } from 'node:crypto';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { forgetOldTasks } from '../../../../modules/opencode/bridge/forget-tasks.ts';
import { makeOutbox, type Outbox } from '../../../../modules/opencode/bridge/outbox.ts';
import { refusedEvidence } from '../../../../modules/opencode/bridge/refused-evidence.ts';
import { outboxKey } from '../../../../modules/opencode/bridge/stored-results.ts';

let root: string;
let directory: string;
let logged: string[];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'outrigger-stored-'));
  directory = join(root, 'outbox');
  logged = [];
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const now = (): Date => new Date('2026-01-02T03:04:05Z');
const ref = { task_id: 't', attempt: 1 };
const evidence = refusedEvidence(null, 'x');
const start = (harnessKey = 'the key'): Outbox =>
  makeOutbox({
    directory,
    key: outboxKey(harnessKey),
    log: (_level, message) => logged.push(message),
    now,
  });
const removal = 'a file in the outbox that this bridge did not write was removed';

describe('a result on disk is sent only when this bridge wrote it', () => {
  it('finds its own again', () => {
    start().open(ref).finish(evidence);

    expect(start().entries.get('t.1')?.result).toEqual(evidence);
    expect(logged).toEqual([]);
  });

  it.each<[string, () => void]>([
    ['plain evidence', () => plant('t.1.json', JSON.stringify({ ref, events: [], result: evidence }))],
    ['evidence sealed with another key', () => start('another key').open(ref).finish(evidence)],
    [
      'evidence sealed with the key’s own input',
      () => {
        const body = JSON.stringify({ ref, events: [], result: evidence });
        const mac = createHmac('sha256', 'the key')
          .update(JSON.stringify(['t.1.json', body]))
          .digest('hex');
        plant('t.1.json', JSON.stringify({ mac, body }));
      },
    ],
    [
      'changed evidence',
      () => {
        start().open(ref).finish(evidence);
        const file = join(directory, 't.1.json');
        writeFileSync(file, readFileSync(file, 'utf8').replace('refused the report', 'accepted a report'));
      },
    ],
  ])('drops %s, and says so', (_case, act) => {
    act();

    expect(start().entries.size).toBe(0);
    expect(logged).toEqual([removal]);
    expect(readdirSync(directory)).toEqual([]);
  });

  it.each(['t.2.json', 'u.1.json'])('drops a true result that was copied to %s', (name) => {
    start().open(ref).finish(evidence);
    copyFileSync(join(directory, 't.1.json'), join(directory, name));

    expect([...start().entries.keys()]).toEqual(['t.1']);
    expect(readdirSync(directory)).toEqual(['t.1.json']);
  });
});

describe('nothing on disk keeps the bridge from starting', () => {
  it.each<[string, () => void]>([
    ['an empty object', () => plant('t.1.json', '{}')],
    ['null', () => plant('t.1.json', 'null')],
    ['a code that is none', () => plant('t.1.json', '{"mac":"zz","body":"{}"}')],
    ['no JSON', () => plant('t.1.json', '{')],
    ['a directory', () => mkdirSync(join(directory, 't.1.json', 'deep'), { recursive: true })],
    [
      'a directory in the way of the next write',
      () => mkdirSync(join(directory, 't.1.json.next'), { recursive: true }),
    ],
    ['a link to nowhere', () => (mkdirSync(directory), symlinkSync('/nowhere', join(directory, 't.1.json')))],
    ['a plain file instead of the outbox', () => writeFileSync(directory, 'x')],
    ['a link instead of the outbox', () => symlinkSync('/nowhere', directory)],
  ])('removes %s and keeps a result as ever', (_case, act) => {
    act();

    const outbox = start();
    expect(outbox.entries.size).toBe(0);
    expect(readdirSync(directory)).toEqual([]);
    outbox.open(ref).finish(evidence);
    expect(start().entries.get('t.1')?.result).toEqual(evidence);
  });

  it('still sends and forgets a result when the disk takes none', () => {
    const outbox = start();
    let changes = 0;
    outbox.onChange(() => (changes += 1));
    rmSync(root, { recursive: true });
    writeFileSync(root, 'not a directory any more');

    outbox.open(ref).finish(evidence);

    expect(outbox.entries.get('t.1')?.result).toEqual(evidence);
    expect(changes).toBe(1);
    outbox.entries.get('t.1')?.close();
    expect(outbox.entries.size).toBe(0);
  });

  it('passes over what it cannot take for a task, and removes what a killed verify run left', () => {
    const tasks = join(root, 'tasks');
    mkdirSync(join(tasks, 'mine', 'verify-abc', 'home'), { recursive: true });
    symlinkSync('/nowhere', join(tasks, 'link'));
    writeFileSync(join(tasks, 'file'), '');

    expect([...forgetOldTasks(root, now())].sort()).toEqual(['file', 'link']);
    expect(readdirSync(tasks)).toEqual(['mine']);
    expect(existsSync(join(tasks, 'mine', 'verify-abc'))).toBe(false);

    rmSync(tasks, { recursive: true });
    writeFileSync(tasks, '');
    expect(forgetOldTasks(root, now())).toEqual([]);
  });
});

function plant(name: string, text: string): void {
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, name), text);
}
