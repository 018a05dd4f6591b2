import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { writeIdeSettings } from '../../../../modules/workspace/helper/ide-settings.ts';
import { readJsonc } from '../../../../modules/workspace/helper/jsonc.ts';

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'outrigger-settings-'));
  file = join(folder, 'User', 'settings.json');
  mkdirSync(join(folder, 'User'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const text = (): string => readFileSync(file, 'utf8');
const settings = (): Readonly<Record<string, unknown>> => readJsonc(text())?.value ?? {};

const commented = `// Mine, since long ago: "extensions.allowed": { "*": true }
{
  /* large, because
     I sit far away */
  "editor.fontSize": 20, // points
  "git.enabled": true,
  "files.exclude": { "**/*.log": true, "a//b": false, },
  "extensions.allowed": { "*": true }, // all of them
}
`;

describe('settings that a person wrote comments in', () => {
  it('get the list of extensions that the admin allows, and whatever else is missing', () => {
    writeFileSync(file, commented);

    expect(writeIdeSettings(file, ['golang.go', 'ms-python'])).toBe(true);

    expect(settings()).toMatchObject({
      'extensions.allowed': { 'golang.go': true, 'ms-python': true },
      'security.workspace.trust.enabled': true,
      'git.autofetch': false,
      'git.enabled': true,
      'editor.fontSize': 20,
      'files.exclude': { '**/*.log': true, 'a//b': false },
    });
  });

  it('keep every comment, and the order of what was there', () => {
    writeFileSync(file, commented);
    writeIdeSettings(file, []);

    for (const comment of commented.match(/\/\/ .*|\/\*[^]*?\*\//g) ?? []) expect(text()).toContain(comment);
    expect(Object.keys(settings()).slice(0, 4)).toEqual(Object.keys(readJsonc(commented)?.value ?? {}));
  });

  it('are written once: a second start finds nothing to change', () => {
    writeFileSync(file, commented);
    writeIdeSettings(file, ['golang.go']);
    const [first, { ino }] = [text(), statSync(file)];
    writeIdeSettings(file, ['golang.go']);

    expect(text()).toBe(first);
    expect(statSync(file).ino).toBe(ino);
  });
});

it.each([
  ['are missing', null],
  ['are empty', ' \n'],
  ['are an empty object', '{}'],
  ['hold a comment alone', '{ // nothing yet\n}'],
  ['name the list twice', '{"extensions.allowed":{"*":true},"extensions.allowed":{"evil.one":true}}'],
  ['begin with a byte order mark', '\uFEFF{"a":1}'],
])('the list of extensions holds where the settings %s', (_what, before) => {
  if (before !== null) writeFileSync(file, before);

  expect(writeIdeSettings(file, ['golang.go'])).toBe(true);
  expect(settings()['extensions.allowed']).toEqual({ 'golang.go': true });
  expect(settings()['git.enabled']).toBe(false);
});

it.each(['{"a": 1', '[]', '"text"', '{"a": /* no end }', 'null', "{'a': 1}"])(
  'settings that nobody could read, such as %s, are kept beside and begun anew',
  (before) => {
    writeFileSync(file, before);

    expect(writeIdeSettings(file, [])).toBe(false);
    expect(settings()['extensions.allowed']).toEqual({});
    expect(readFileSync(`${file}.broken`, 'utf8')).toBe(before);
    expect(readdirSync(join(folder, 'User')).sort()).toEqual(['settings.json', 'settings.json.broken']);
  },
);

it('reads what plain JSON says, and sets a property in it without touching another', () => {
  const objects = fc.dictionary(
    fc.string().filter((name) => name !== '__proto__'),
    fc.jsonValue(),
  );
  fc.assert(
    fc.property(
      objects,
      fc.string({ minLength: 1 }),
      fc.jsonValue(),
      fc.constantFrom(0, 2),
      (object, name, value, indent) => {
        fc.pre(name !== '__proto__');
        const plain = JSON.stringify(object, null, indent);
        const read = readJsonc(plain);
        const then = JSON.parse(JSON.stringify({ ...object, [name]: value })) as unknown;

        expect(read?.value).toEqual(JSON.parse(plain));
        expect(readJsonc(read?.with(name, value) ?? '')?.value).toEqual(then);
      },
    ),
  );
});
