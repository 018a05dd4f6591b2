import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { ideNames } from '../../../../modules/contract.ts';
import { ideKinds } from '../../../../modules/workspace/helper/ide-kinds.ts';
import { gatePath, installHelper, makeWorker, until, type Tools, type Worker } from './world.ts';

/** Each kind is the same stub here, which takes the flags of its kind: no image with the two others can be built offline. */
const others = ideNames.filter((name) => name !== 'code-server');

let tools: Tools;
let worker: Worker;
beforeAll(async () => {
  tools = await installHelper();
});
afterAll(() => tools.remove());
afterEach(async () => {
  expect(await worker.end()).toEqual([]);
});

/** A folder for PATH in which the stub has these names. */
function imageWith(...programs: readonly string[]): string {
  const place = join(tools.directory, `image-${programs.join('-')}`);
  if (!existsSync(place)) mkdirSync(place);
  for (const program of programs) {
    const file = join(place, program);
    if (!existsSync(file)) symlinkSync(join(tools.stubIdeDir, 'code-server'), file);
  }
  chmodSync(place, 0o755);
  return place;
}

const given = (ide: string, image: string, more: Readonly<Record<string, string>> = {}) => ({
  OUTRIGGER_IDE: ide,
  OUTRIGGER_IDE_ENABLED: 'true',
  PATH: `${image}:/usr/bin:/bin`,
  ...more,
});
const settled = async (): Promise<string> => {
  const phases = ['Ready', 'Failed'];
  return await until('the IDE', () => phases.find((phase) => worker.state()?.phase === phase));
};
const argvOf = () => worker.ideStart()?.argv ?? [];
const flag = (name: string): string => argvOf()[argvOf().indexOf(name) + 1] ?? '';

describe.each(others)('the IDE %s', (ide) => {
  it('is started on a socket of its own user, without a token and without telemetry, and is healthy', async () => {
    worker = await makeWorker(tools, given(ide, imageWith(ide)));
    worker.start('serve');

    expect(await settled()).toBe('Ready');
    expect(argvOf()).toEqual(expect.arrayContaining(['--without-connection-token', '--disable-telemetry']));
    expect(argvOf().filter((word) => /^--(host|port|bind-addr|server-base-path)/.test(word))).toEqual([]);
    expect(argvOf().includes('--accept-server-license-terms')).toBe(ide === 'vscode-web');
    expect(statSync(flag('--socket-path')).mode & 0o777).toBe(0o600);
    expect(statSync(join(flag('--socket-path'), '..')).mode & 0o777).toBe(0o700);
    expect(flag('--extensions-dir')).toBe(join(worker.home, '.local/share/outrigger-ide/extensions'));
    const health = await fetch(`http://127.0.0.1:${String(worker.port)}/${gatePath}/healthz`);
    expect([health.status, await health.text()]).toEqual([200, '0123abc']);
  });

  it('finds the admin’s list of extensions where it reads its settings, and knows the path that browsers see', async () => {
    const basePath = '/@ada/canoe.main/apps/ide';
    const more = { OUTRIGGER_ALLOWED_EXTENSIONS: 'golang.go', OUTRIGGER_IDE_BASE_PATH: basePath };
    worker = await makeWorker(tools, given(ide, imageWith(ide), more));
    worker.start('serve');
    await settled();

    expect(flag('--server-base-path')).toBe(basePath);
    const file = join(flag('--server-data-dir'), 'data/Machine/settings.json');
    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({
      'extensions.allowed': { 'golang.go': true },
      'git.enabled': false,
    });
  });
});

describe('an image without the IDE that was chosen', () => {
  it.each([
    ['openvscode-server', [], 'This image holds no openvscode-server. Choose an executor image that has it.'],
    [
      'openvscode-server',
      ['code-server'],
      'This image holds no openvscode-server, but code-server. Choose that, or another image.',
    ],
    [
      'code-server',
      ['openvscode-server', 'vscode-web'],
      'This image holds no code-server, but openvscode-server and vscode-web. Choose that, or another image.',
    ],
  ])('for %s, with %j, is told in one sentence that the log has too', async (ide, held, sentence) => {
    worker = await makeWorker(tools, given(ide, imageWith('none', ...held)));
    worker.start('serve');

    expect(await settled()).toBe('Failed');
    expect(worker.state()?.message).toBe(sentence);
    expect(worker.lines).toContain(`IDE: Failed: ${sentence}`);
    expect(worker.ideStart()).toBeNull();
  });
});

it('every name that can be chosen is a kind that can be started', () => {
  expect(Object.keys(ideKinds)).toEqual([...ideNames]);
});
