import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createConnection } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startEmbeddedPostgres } from '../../service/platform/embedded-postgres.ts';
import { binariesPackage } from '../../service/platform/postgres-runtime.ts';
import { identifyProcess } from '../../service/platform/process-identity.ts';
import { durable, makeWorld, query, unfinished, type Running } from './embedded-postgres-harness.ts';

// Seconds on an idle machine; initdb waits for the disk, which others may keep busy.
jest.setTimeout(400_000);

const isRoot = process.getuid?.() === 0;
const asRoot = isRoot ? it : it.skip;
const nobody = { uid: 65534, gid: 65534 };
const withoutName = { uid: 54_321, gid: 54_321 };

let world: ReturnType<typeof makeWorld>;
beforeAll(() => {
  world = makeWorld();
});
afterEach(() => world.reset());
afterAll(() => world.destroy());

const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8);
const uidOf = (pid: number) => Number(/^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
const binaries = () => ({ nativeDir: world.native, sharedFolders: [join(world.root, 'shared')] });

async function until(what: string, condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`Still not so after 20 s: ${what}`);
    await sleep(5);
  }
}

/** A copy of a cluster with one table in it, stopped; made once. */
async function storedCluster(): Promise<string> {
  const original = join(world.root, 'stored');
  if (!existsSync(original)) {
    const server = await startEmbeddedPostgres({ dataDir: original, binaries: binaries(), settings: { fsync: 'off' } });
    await query(server.url, 'create table kept as select 42 as answer');
    await server.stop();
  }
  const dataDir = world.folder();
  execFileSync('cp', ['-a', `${original}/.`, dataDir]);
  return dataDir;
}

const expectKept = async (server: Pick<Running, 'url'>) =>
  expect(await query(server.url, 'select answer from kept')).toEqual([{ answer: 42 }]);

/** It starts, it is ours, it takes a table, and no half-made cluster lies about. */
async function expectWhole(dataDir: string): Promise<void> {
  const owner = world.own({ dataDir, settings: durable });
  const { url } = await owner.running();
  await query(url, 'create table whole (id int)');
  expect(await query(url, 'select current_database() as name')).toEqual([{ name: 'outrigger' }]);
  expect(unfinished(dataDir)).toEqual([]);
  expect(await owner.stop()).toBe(0);
}

describe('startEmbeddedPostgres', () => {
  it('makes a database on the first start and keeps what is in it for the next', async () => {
    const dataDir = world.folder();
    const first = world.own({ dataDir, settings: durable });
    const one = await first.running();
    expect(one.adopted).toBe(false);
    expect(new URL(one.url).pathname).toBe('/outrigger');
    await query(one.url, 'create table kept as select 42 as answer');

    expect(await first.stop()).toBe(0);
    expect(identifyProcess(one.pid)).toBeUndefined();

    const two = await world.own({ dataDir, settings: durable }).running();
    expect(two.adopted).toBe(false);
    await expectKept(two);
  });

  it('lets nobody in without the password, which only the owner of the folder can read', async () => {
    const dataDir = await storedCluster();
    const owner = world.own({ dataDir });
    const { url, pid } = await owner.running();
    const { password } = new URL(url);

    const wrong = new URL(url);
    wrong.password = 'wrong';
    await expect(query(wrong.href, 'select 1')).rejects.toMatchObject({ code: '28P01' });
    expect(await query(url, 'select distinct auth_method from pg_hba_file_rules')).toEqual([
      { auth_method: 'scram-sha-256' },
    ]);

    expect(modeOf(dataDir)).toBe('700');
    expect(modeOf(join(dataDir, 'cluster'))).toBe('700');
    expect(modeOf(join(dataDir, 'cluster', 'password'))).toBe('600');

    expect(password.length).toBeGreaterThanOrEqual(43);
    for (const place of [
      owner.output(),
      readFileSync(join(dataDir, 'postgres.log'), 'utf8'),
      ...['cmdline', 'environ'].map((name) => readFileSync(`/proc/${pid}/${name}`, 'utf8')),
    ]) {
      expect(place).not.toContain(password);
    }
  });

  it('listens on loopback alone', async () => {
    const { url, port } = await world.own({ dataDir: await storedCluster() }).running();

    expect(
      await query(
        url,
        `select current_setting('listen_addresses') as tcp, current_setting('unix_socket_directories') as unix`,
      ),
    ).toEqual([{ tcp: '127.0.0.1', unix: '' }]);
    const outside = Object.values(networkInterfaces())
      .flatMap((all) => all ?? [])
      .filter((one) => !one.internal && one.family === 'IPv4');
    for (const { address } of outside) {
      const [error] = (await once(createConnection({ host: address, port }), 'error')) as [NodeJS.ErrnoException];
      expect(error.code).toBe('ECONNREFUSED');
    }
  });

  it('passes settings to the server', async () => {
    const { url } = await world.own({ dataDir: await storedCluster(), settings: { max_connections: '17' } }).running();

    expect(await query(url, 'show max_connections')).toEqual([{ max_connections: '17' }]);
  });

  it('stops once however often it is asked, and returns when the server is gone', async () => {
    const server = await startEmbeddedPostgres({ dataDir: world.folder(), binaries: binaries() });

    await Promise.all([server.stop(), server.stop()]);
    await server.stop();

    expect(identifyProcess(server.pid)).toBeUndefined();
    await expect(query(server.url, 'select 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  describe('after SIGKILL', () => {
    it('of its parent, adopts the living server and stops it in the end', async () => {
      const dataDir = await storedCluster();
      const killed = world.own({ dataDir, settings: durable });
      const before = await killed.running();
      await killed.kill();

      const next = world.own({ dataDir, settings: durable });
      const after = await next.running();

      expect(after).toEqual({ ...before, adopted: true });
      await expectKept(after);
      expect(await next.stop()).toBe(0);
      expect(identifyProcess(before.pid)).toBeUndefined();
    });

    it('of its parent and of the server, recovers what was committed', async () => {
      const dataDir = await storedCluster();
      const killed = world.own({ dataDir, settings: durable });
      const before = await killed.running();
      await query(before.url, 'update kept set answer = 43');
      await query(before.url, 'update kept set answer = 42');
      await killed.kill();
      process.kill(before.pid, 'SIGKILL');

      const after = await world.own({ dataDir, settings: durable }).running();

      expect(after.adopted).toBe(false);
      expect(after.pid).not.toBe(before.pid);
      await expectKept(after);
    });

    it.each<[string, (dataDir: string) => boolean]>([
      ['before it makes anything', () => true],
      [
        'when initdb has begun',
        (dataDir) => unfinished(dataDir).some((name) => existsSync(join(dataDir, name, 'data', 'base'))),
      ],
      ['when the cluster has its name', (dataDir) => existsSync(join(dataDir, 'cluster'))],
      ['when the server has begun', (dataDir) => existsSync(join(dataDir, 'cluster', 'data', 'postmaster.pid'))],
    ])('during the first start, %s, the next start gives a whole database', async (moment, isReached) => {
      const dataDir = world.folder();
      const killed = world.own({ dataDir, settings: durable });
      await killed.begun;
      await until(moment, () => isReached(dataDir));
      await killed.kill();

      await expectWhole(dataDir);
    });

    it('at random moments of the first start, the next start gives a whole database', async () => {
      const startedAt = Date.now();
      await expectWhole(world.folder());
      const takesMs = Date.now() - startedAt;

      for (let round = 0; round < 6; round++) {
        const dataDir = world.folder();
        const killed = world.own({ dataDir, settings: durable });
        const afterMs = Math.round(((round + Math.random()) / 6) * takesMs);
        await sleep(afterMs);
        await killed.kill();

        await expectWhole(dataDir).catch((cause: unknown) => {
          throw new Error(`Killed after ${afterMs} ms of ${takesMs}, it is not whole`, { cause });
        });
      }
    });
  });

  describe('two first starts at once', () => {
    it('of different processes use one server', async () => {
      const dataDir = world.folder();

      const servers = await Promise.all(
        [world.own({ dataDir }), world.own({ dataDir })].map((owner) => owner.running()),
      );

      expect(new Set(servers.map((server) => server.pid)).size).toBe(1);
      expect(servers.map((server) => server.adopted).sort()).toEqual([false, true]);
      for (const server of servers) await query(server.url, 'select 1');
    });

    it('of one process use one server', async () => {
      const dataDir = world.folder();

      const servers = await Promise.all(
        [1, 2].map(() => startEmbeddedPostgres({ dataDir, binaries: binaries(), settings: { fsync: 'off' } })),
      );

      expect(new Set(servers.map((server) => server.pid)).size).toBe(1);
      await Promise.all(servers.map((server) => server.stop()));
    });
  });

  describe('a postmaster.pid that Postgres would believe', () => {
    const lines = (pid: number) =>
      [pid, '/elsewhere', '1700000000', '5432', '', '127.0.0.1', '  1  2', 'ready   ', ''].join('\n');
    const startWith = async (content: string) => {
      const dataDir = await storedCluster();
      writeFileSync(join(dataDir, 'cluster', 'data', 'postmaster.pid'), content);
      return world.own({ dataDir }).running();
    };

    it('is removed when the number went to another process', async () => {
      await expectKept(await startWith(lines(process.pid)));
    });

    it('is removed when the number is a zombie', async () => {
      // A parent that never asks for its child's end: the shell has become `sleep`.
      const parent = spawn('sh', ['-c', 'sleep 600 & echo $!; exec sleep 600'], {
        stdio: ['ignore', 'pipe', 'ignore'],
      });
      try {
        const [line] = (await once(parent.stdout, 'data')) as [Buffer];
        const zombie = Number(line);
        await until('the shell has become sleep', () => readFileSync(`/proc/${parent.pid}/comm`, 'utf8') === 'sleep\n');
        process.kill(zombie, 'SIGKILL');
        await until('the child is a zombie', () => identifyProcess(zombie) === undefined);
        expect(existsSync(`/proc/${zombie}`)).toBe(true);

        await expectKept(await startWith(lines(zombie)));
      } finally {
        parent.kill('SIGKILL');
      }
    });

    it('is removed when it stays empty', async () => {
      await expectKept(await startWith(''));
    });
  });

  describe('refuses with a sentence that says what to do', () => {
    it('data of another major version', async () => {
      const dataDir = await storedCluster();
      writeFileSync(join(dataDir, 'cluster', 'data', 'PG_VERSION'), '17\n');

      const { code, message } = await world.own({ dataDir }).failed();

      expect(code).toBe('postgres_major_differs');
      expect(message).toMatch(/Postgres 17.*Postgres 18.*DATABASE_URL/s);
    });

    it('a cluster that lost its password', async () => {
      const dataDir = await storedCluster();
      rmSync(join(dataDir, 'cluster', 'password'));

      expect(await world.own({ dataDir }).failed()).toMatchObject({
        code: 'postgres_cluster_incomplete',
        message: expect.stringContaining(join(dataDir, 'cluster')),
      });
    });

    it('a server that cannot start, with its own last words', async () => {
      const dataDir = await storedCluster();

      const { code, message } = await world.own({ dataDir, settings: { shared_buffers: 'nonsense' } }).failed();

      expect(code).toBe('postgres_start_failed');
      expect(message).toContain('invalid value for parameter "shared_buffers"');
    });

    it.each([
      ['Alpine', { platform: 'linux', arch: 'x64', hasGlibc: false }, 'musl'],
      ['Windows on ARM', { platform: 'win32', arch: 'arm64', hasGlibc: false }, 'win32-arm64'],
    ])('a machine without binaries: %s', (_, machine, reason) => {
      expect(() => binariesPackage(machine)).toThrow(
        expect.objectContaining({
          code: 'postgres_binaries_missing',
          message: expect.stringMatching(new RegExp(`${reason}.*DATABASE_URL`)),
        }),
      );
    });

    it('binaries that cannot be run', async () => {
      const binaries = { nativeDir: join(world.root, 'nothing-here'), sharedFolders: [] };

      const { code, message } = await world.own({ dataDir: world.folder(), binaries }).failed();

      expect(code).toBe('postgres_binaries_unusable');
      expect(message).toContain('DATABASE_URL');
    });

    asRoot('a user id without a name', async () => {
      const { code, message } = await world.own({ dataDir: world.folder(withoutName) }, withoutName).failed();

      expect(code).toBe('postgres_account_unknown');
      expect(message).toMatch(/54321.*DATABASE_URL/);
    });

    asRoot('an account for root that does not exist', async () => {
      const { code, message } = await world.own({ dataDir: world.folder(), osUser: 'no-such-account' }).failed();

      expect(code).toBe('postgres_account_missing');
      expect(message).toMatch(/no-such-account.*DATABASE_URL/);
    });

    asRoot('a cluster of another user', async () => {
      const dataDir = await storedCluster();
      chownSync(dataDir, nobody.uid, nobody.gid);
      chmodSync(join(dataDir, 'cluster'), 0o755);
      chownSync(join(dataDir, 'cluster'), 0, 0);

      expect(await world.own({ dataDir }, nobody).failed()).toMatchObject({ code: 'postgres_cluster_of_another_user' });
    });
  });

  describe('as a plain user', () => {
    asRoot('runs as that user, with the package it may only read', async () => {
      const dataDir = world.folder(nobody);
      const before = JSON.stringify(readdirSync(join(world.native, 'lib')));
      const owner = world.own({ dataDir }, nobody);

      const { url, pid } = await owner.running();

      expect(uidOf(pid)).toBe(nobody.uid);
      await query(url, 'create table kept as select 42 as answer');
      expect(await owner.stop()).toBe(0);
      expect(JSON.stringify(readdirSync(join(world.native, 'lib')))).toBe(before);
    });
  });

  describe('as root', () => {
    asRoot('hands the server to an unprivileged account', async () => {
      const { pid } = await world.own({ dataDir: world.folder(), osUser: 'nobody' }).running();

      expect(uidOf(pid)).toBe(nobody.uid);
      expect(readFileSync(`/proc/${pid}/status`, 'utf8')).toMatch(/^Groups:\s*(65534)?\s*$/m);
    });

    asRoot('keeps the account that owns the cluster when another becomes available', async () => {
      const dataDir = world.folder();
      const first = world.own({ dataDir, osUser: 'nobody' });
      await first.running();
      await first.stop();

      const { pid } = await world.own({ dataDir, osUser: 'postgres' }).running();

      expect(uidOf(pid)).toBe(nobody.uid);
    });

    asRoot(
      'works when package and data lie in a folder that only root can enter, and opens nothing there',
      async () => {
        const closed = world.folder();
        const nativeDir = join(closed, 'package', 'native');
        cpSync(world.native, nativeDir, { recursive: true });
        const dataDir = join(closed, 'data');
        const shared = join(world.root, 'shared-by-closed');
        const options = { dataDir, osUser: 'nobody', binaries: { nativeDir, sharedFolders: [shared] } };
        const killed = world.own(options);
        const before = await killed.running();
        await query(before.url, 'create table kept as select 42 as answer');
        await killed.kill();

        expect(uidOf(before.pid)).toBe(nobody.uid);
        expect([modeOf(closed), modeOf(dataDir), modeOf(join(dataDir, 'cluster'))]).toEqual(['700', '700', '700']);
        expect(existsSync(join(dataDir, 'cluster', 'data', 'PG_VERSION'))).toBe(true);
        expect(readdirSync(shared)).toHaveLength(2);

        const adopting = world.own(options);
        expect(await adopting.running()).toEqual({ ...before, adopted: true });
        await adopting.stop();
        const later = await world.own(options).running();
        await expectKept(later);
      },
    );

    asRoot('does not execute what another user put into the shared folder', async () => {
      const shared = join(world.root, 'shared-by-others');
      mkdirSync(shared);
      chownSync(shared, nobody.uid, nobody.gid);
      const options = {
        dataDir: world.folder(),
        osUser: 'nobody',
        binaries: { nativeDir: world.native, sharedFolders: [shared] },
      };

      const { code, message } = await world.own(options).failed();

      expect(code).toBe('postgres_binaries_unusable');
      expect(message).toContain(`${shared} can be changed by someone else`);
    });
  });
});
