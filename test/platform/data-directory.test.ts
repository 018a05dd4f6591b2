import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { prepareDataDirectory, resolveDataDirectory } from '../../service/platform/data-directory.ts';

const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8);

describe('resolveDataDirectory', () => {
  it.each([
    ['what is configured, before all else', { configured: '/srv/data', uid: 0, home: '/root' }, '/srv/data'],
    [
      'a configured relative path as an absolute one',
      { configured: 'data', uid: 1000, home: '/home/ann' },
      join(process.cwd(), 'data'),
    ],
    ['/var/lib/outrigger for root', { uid: 0, home: '/root', xdgDataHome: '/xdg' }, '/var/lib/outrigger'],
    ['the XDG data home for a user', { uid: 1000, home: '/home/ann', xdgDataHome: '/xdg' }, '/xdg/outrigger'],
    ['~/.local/share for a user without one', { uid: 1000, home: '/home/ann' }, '/home/ann/.local/share/outrigger'],
    [
      '~/.local/share when XDG_DATA_HOME is relative',
      { uid: 1000, home: '/home/ann', xdgDataHome: 'xdg' },
      '/home/ann/.local/share/outrigger',
    ],
    ['the default when configured is empty', { configured: '', uid: 0, home: '/root' }, '/var/lib/outrigger'],
  ])('answers %s', (_, options, expected) => {
    expect(resolveDataDirectory(options)).toBe(expected);
  });
});

describe('prepareDataDirectory', () => {
  let parent: string;
  beforeEach(() => {
    parent = mkdtempSync(join(tmpdir(), 'outrigger-data-directory-'));
  });
  afterEach(() => rmSync(parent, { recursive: true, force: true }));

  it('makes the folder with postgres, keys and locks, each entered by nobody else', () => {
    const made = prepareDataDirectory(join(parent, 'deep', 'data'));

    expect(Object.values(made).map(modeOf)).toEqual(['700', '700', '700', '700']);
    expect(made).toEqual({
      root: join(parent, 'deep', 'data'),
      postgres: join(parent, 'deep', 'data', 'postgres'),
      keys: join(parent, 'deep', 'data', 'keys'),
      locks: join(parent, 'deep', 'data', 'locks'),
    });
  });

  it('closes an empty folder that others could enter, such as the root of a new volume', () => {
    const volume = join(parent, 'volume');
    mkdirSync(join(volume, 'lost+found'), { recursive: true });
    chmodSync(volume, 0o755);

    prepareDataDirectory(volume);

    expect(modeOf(volume)).toBe('700');
  });

  it('closes its own folders again when someone opened them, and keeps what is in them', () => {
    const made = prepareDataDirectory(join(parent, 'data'));
    writeFileSync(join(made.keys, 'audit'), 'key');
    for (const folder of [made.root, made.keys]) chmodSync(folder, 0o777);

    prepareDataDirectory(made.root);

    expect([modeOf(made.root), modeOf(made.keys)]).toEqual(['700', '700']);
    expect(statSync(join(made.keys, 'audit')).size).toBe(3);
  });

  it('refuses an open folder that holds other things, and changes nothing there', () => {
    chmodSync(parent, 0o755);
    writeFileSync(join(parent, 'letter.txt'), 'hello');

    expect(() => prepareDataDirectory(parent)).toThrow(
      expect.objectContaining({
        kind: 'invalid',
        code: 'data_directory_shared',
        message: expect.stringContaining('OUTRIGGER_DATA_DIR'),
      }),
    );
    expect(modeOf(parent)).toBe('755');
  });

  it('says what to set when the path cannot be a folder', () => {
    writeFileSync(join(parent, 'file'), '');

    expect(() => prepareDataDirectory(join(parent, 'file', 'data'))).toThrow(
      expect.objectContaining({
        kind: 'unavailable',
        code: 'data_directory_unusable',
        message: expect.stringContaining('OUTRIGGER_DATA_DIR'),
      }),
    );
  });
});
