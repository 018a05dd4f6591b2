import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { run, type Finished } from '../../support/terraform/terraform.ts';

const script = fileURLToPath(new URL('../../../modules/opencode/runtime-proof.sh', import.meta.url));

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'outrigger-proof-'));
});
afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

/** What a kernel shows, by path below /proc and /sys. */
type Kernel = Readonly<Record<string, string>>;

const kataGuest: Kernel = {
  'proc/sys/kernel/osrelease': '6.12.47',
  'proc/cmdline': 'reboot=k panic=1 systemd.unit=kata-containers.target systemd.mask=systemd-networkd.service ro',
  'proc/self/mounts': 'kataShared / virtiofs rw,relatime 0 0\ntmpfs /dev tmpfs rw 0 0',
  'proc/cpuinfo': 'processor : 0\nflags\t\t: fpu vme hypervisor lahf_lm',
  'proc/version': 'Linux version 6.12.47 (builder@kata) #1 SMP',
  'sys/class/dmi/id/sys_vendor': 'QEMU',
};
const withoutMark: Kernel = {
  ...kataGuest,
  'proc/cmdline': 'BOOT_IMAGE=/vmlinuz ro',
  'proc/self/mounts': 'overlay / overlay rw 0 0',
};
const gvisor: Kernel = {
  ...withoutMark,
  'proc/sys/kernel/osrelease': '4.4.0',
  'proc/version': 'Linux version 4.4.0 #1 SMP Sun Jan 10 15:06:54 PST 2016',
};

const prove = async (kernel: Kernel | null, environment: Record<string, string>, word = 'check'): Promise<Finished> => {
  for (const [path, text] of Object.entries(kernel ?? {})) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), `${text}\n`);
  }
  // A kernel log that says nothing, as in most containers.
  mkdirSync(join(root, 'bin'), { recursive: true });
  writeFileSync(join(root, 'bin/dmesg'), '#!/bin/sh\nexit 1\n', { mode: 0o755 });
  const places = kernel === null ? {} : { PROC_DIR: join(root, 'proc'), SYS_DIR: join(root, 'sys') };
  const PATH = `${join(root, 'bin')}:${process.env.PATH ?? ''}`;
  return await run('sh', [script, word], { environment: { ...places, PATH, ...environment } });
};

const kata = { OUTRIGGER_RUNTIME: 'kata', OUTRIGGER_NODE_KERNELS: '5.15.0-113-generic, 6.8.0-1' };

describe('/tools/runtime-proof', () => {
  it('takes Kata as proven on a kernel that no node has, in a guest that bears its mark', async () => {
    expect(await prove(kataGuest, kata)).toMatchObject({ code: 0, stderr: '' });
    expect((await prove(kataGuest, kata, 'kernel')).stdout).toBe('6.12.47\n');
    expect((await prove(kataGuest, kata, 'hypervisor')).stdout).toBe('Kata (QEMU)\n');
    expect((await prove(kataGuest, kata, 'verified_at')).stdout).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\n$/);
  });

  it.each([
    ['the kernel command line', { 'proc/self/mounts': '' }],
    ['the shared file system', { 'proc/cmdline': '' }],
    ['the shared file system of an older Kata', { 'proc/cmdline': '', 'proc/self/mounts': 'kataShared / 9p rw 0 0' }],
  ])('finds the mark in %s alone', async (_where, changed) => {
    expect((await prove({ ...kataGuest, ...changed }, kata)).code).toBe(0);
  });

  it.each([
    ["runs on a node's kernel", kataGuest, { OUTRIGGER_NODE_KERNELS: '5.15.0-113-generic,6.12.47' }, "is a node's own"],
    ['does not know the kernels of the nodes', kataGuest, { OUTRIGGER_NODE_KERNELS: ' , ' }, 'variable node_kernels'],
    ['bears no mark of a guest', withoutMark, {}, 'bears the mark of a Kata guest'],
    [
      'has a mount that only calls itself that',
      { ...withoutMark, 'proc/self/mounts': 'kataShared /mnt tmpfs rw 0 0' },
      {},
      'bears the mark of a Kata guest',
    ],
    ['has a real processor', { ...kataGuest, 'proc/cpuinfo': 'flags : fpu vme lahf_lm' }, {}, 'not a virtual one'],
  ])('refuses a Kata workspace that %s, and says what an admin can do', async (_what, kernel, environment, why) => {
    const finished = await prove(kernel, { ...kata, ...environment });

    expect(finished.code).toBe(1);
    expect(finished.stdout).toBe('');
    expect(finished.stderr).toContain(why);
    expect(finished.stderr).toMatch(/Ask the template's admin to set runtime_class .* allow_unproven_runtime\.\n$/);
    expect(finished.stderr.trim().split('\n')).toHaveLength(1);
  });

  it('never takes one name for another that begins with it', async () => {
    expect((await prove(kataGuest, { ...kata, OUTRIGGER_NODE_KERNELS: '6.12.4,6.12.47-1,*' })).code).toBe(0);
  });

  it('turns red on this very machine, whatever kernels are given (part of D15)', async () => {
    const finished = await prove(null, kata);

    expect(finished.code).toBe(1);
    expect(finished.stderr).toContain('bears the mark of a Kata guest');
    expect((await prove(null, { ...kata, OUTRIGGER_NODE_KERNELS: release() })).stderr).toContain(
      `it runs on kernel ${release()}, which is a node's own`,
    );
    for (const word of ['hypervisor', 'verified_at']) {
      expect((await prove(null, kata, word)).stdout).toBe('not proven\n');
    }
  });

  it('lets an admin go on without proof, but never calls it Kata (part of K-25)', async () => {
    const allowed = { ...kata, OUTRIGGER_RUNTIME_UNPROVEN: 'allow' };

    expect(await prove(withoutMark, allowed)).toMatchObject({ code: 0, stderr: expect.stringContaining('not proven') });
    expect((await prove(withoutMark, allowed, 'hypervisor')).stdout).toBe('not proven\n');
    expect((await prove(withoutMark, { ...kata, OUTRIGGER_RUNTIME_UNPROVEN: 'yes' })).code).toBe(1);
  });

  it.each([
    ['an older kernel', gvisor],
    ['a newer one', { ...gvisor, 'proc/version': 'Linux version 4.19.0-gvisor #1 SMP Sun Jan 10 15:06:54 PST 2016' }],
  ])('knows gVisor by %s that it reports', async (_which, kernel) => {
    expect((await prove(kernel, { OUTRIGGER_RUNTIME: 'gvisor' })).code).toBe(0);
    expect((await prove(kernel, { OUTRIGGER_RUNTIME: 'gvisor' }, 'hypervisor')).stdout).toBe('gVisor\n');
  });

  it('refuses a gVisor workspace on a usual kernel', async () => {
    const finished = await prove(withoutMark, { OUTRIGGER_RUNTIME: 'gvisor' });

    expect(finished.code).toBe(1);
    expect(finished.stderr).toContain('not that of gVisor');
  });

  it('has nothing to prove where nothing is claimed', async () => {
    expect((await prove(null, {})).code).toBe(0);
    expect((await prove(null, {}, 'hypervisor')).stdout).toBe('none\n');
    expect((await prove(null, {}, 'kernel')).stdout).toBe(readFileSync('/proc/sys/kernel/osrelease', 'utf8'));
  });

  it('names what it knows when it is asked for something else', async () => {
    expect(await prove(null, {}, 'proof')).toMatchObject({ code: 2, stderr: expect.stringContaining('hypervisor') });
    expect(await prove(null, { OUTRIGGER_RUNTIME: 'firecracker' })).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("OUTRIGGER_RUNTIME is 'firecracker'"),
    });
  });
});
