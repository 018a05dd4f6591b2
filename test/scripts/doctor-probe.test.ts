import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

const probe = readFileSync(new URL('../../scripts/doctor/container-probe.sh', import.meta.url), 'utf8');
/** What it does to folders; the rest looks at the processes of the whole machine. */
const folders = probe.slice(0, probe.indexOf('\ntools='));

let place: string;
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'outrigger-probe-'));
  for (const name of ['workspace', 'home', 'bin']) mkdirSync(join(place, name));
});
afterEach(() => rmSync(place, { recursive: true, force: true }));

/** Runs it as `doctor` does; an image may lack mktemp. */
function probed(hasMktemp: boolean): string {
  for (const tool of ['sh', 'rm', 'mkdir', 'rmdir', 'stat', ...(hasMktemp ? ['mktemp'] : [])])
    symlinkSync(spawnSync('which', [tool], { encoding: 'utf8' }).stdout.trim(), join(place, 'bin', tool));
  const ran = spawnSync('sh', ['-s'], {
    input: folders,
    encoding: 'utf8',
    timeout: 20_000,
    env: { PATH: join(place, 'bin'), WORKSPACE_DIR: join(place, 'workspace'), HOME: join(place, 'home') },
  });
  expect(ran.error).toBeUndefined();
  return ran.stdout;
}

describe.each([
  ['with mktemp', true],
  ['without mktemp', false],
])('outrigger doctor asks whether a folder takes a file, %s', (_how, hasMktemp) => {
  it('leaves nothing behind, and tells a folder that is not there', () => {
    rmSync(join(place, 'home'), { recursive: true });
    const said = probed(hasMktemp);

    expect(said).toContain(`workspace.path=${join(place, 'workspace')}\nworkspace=writable\n`);
    expect(said).toContain('home.path=/tmp\nhome=writable\n');
    expect(readdirSync(join(place, 'workspace'))).toEqual([]);
  });

  it('empties no file behind a link, and waits for no pipe, that the agent put where it looks', () => {
    const precious = join(place, 'precious');
    writeFileSync(precious, 'mine');
    symlinkSync(precious, join(place, 'workspace', '.outrigger-doctor'));
    spawnSync('mkfifo', [join(place, 'home', '.outrigger-doctor')]);
    const said = probed(hasMktemp);

    expect(said).toContain('workspace=writable\n');
    expect(said).toContain('home=writable\n');
    expect(readFileSync(precious, 'utf8')).toBe('mine');
    expect(readdirSync(join(place, 'workspace'))).toEqual(['.outrigger-doctor']);
  });
});
