import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { launchIde, type IdeProcess } from '../../../../modules/workspace/helper/ide-process.ts';
import { until } from './world.ts';

/** Answers that it is well, and takes its socket away first, as one that is ending may. */
const leaving = `
import { unlinkSync } from 'node:fs';
import { createServer } from 'node:http';
const socket = process.argv[2];
createServer((request, response) => {
  if (request.url === '/leave') unlinkSync(socket);
  response.end('well');
}).listen(socket);
`;

let place: string;
let ide: IdeProcess | null = null;
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'outrigger-ide-process-'));
  writeFileSync(join(place, 'ide.mjs'), leaving);
  writeFileSync(join(place, 'ide'), `#!/bin/sh\nexec ${process.execPath} ${join(place, 'ide.mjs')} "$@"\n`);
  writeFileSync(join(place, 'enter'), '#!/bin/sh\nexec "$@"\n');
  for (const program of ['ide', 'enter']) chmodSync(join(place, program), 0o755);
});
afterEach(async () => {
  await ide?.stop();
  rmSync(place, { recursive: true, force: true });
});

function launch(health: { path: string }): IdeProcess {
  return launchIde({
    kind: {
      program: 'ide',
      argv: ({ socket }) => [socket],
      get healthPath() {
        return health.path;
      },
      settings: 'settings.json',
    },
    places: {
      socket: join(place, 'ide.sock'),
      userDataDir: join(place, 'data'),
      extensionsDir: join(place, 'extensions'),
      basePath: '',
    },
    enter: join(place, 'enter'),
    dataDir: place,
    environment: { PATH: place },
    wait: async (ms) => await pause(ms),
  });
}

describe('a running IDE', () => {
  it('that takes its socket away while it answers does not serve, and nothing is thrown', async () => {
    const health = { path: '/' };
    ide = launch(health);
    const running = ide;
    let serves = false;
    await until('the IDE', () => {
      void running.isServing().then((is) => (serves ||= is));
      return serves;
    });
    health.path = '/leave';

    expect(await running.isServing()).toBe(false);
    expect(running.ended()).toBeNull();
  });
});
