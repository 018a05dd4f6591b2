/**
 * What the bridge asks of the Linux kernel directly.
 *
 * Every call answers whether it worked; nothing throws, because a bridge without these is weaker, not useless.
 */
export interface System {
  /** Closes `/proc/<pid>/{environ,mem,fd,…}` of this process to others of the same uid. */
  setUndumpable(): boolean;
  /** Makes this process the parent of every orphan among its descendants, daemons included. */
  setChildSubreaper(): boolean;
  /** Takes the exit status of a dead child that nobody else waits for. */
  reap(pid: number): void;
}

/** Source: linux/prctl.h, wait.h. */
const PR_SET_DUMPABLE = 4;
const PR_SET_CHILD_SUBREAPER = 36;
const WNOHANG = 1;

const musl = process.arch === 'arm64' ? 'libc.musl-aarch64.so.1' : 'libc.musl-x86_64.so.1';
const libraryNames = ['libc.so.6', musl, 'libc.so'];

/** The kernel through the C library of the image, glibc or musl; null where neither can be opened. */
export async function openSystem(): Promise<System | null> {
  const ffi = await import('bun:ffi').catch(() => null);
  if (!ffi) return null;
  for (const name of libraryNames) {
    try {
      const { prctl, waitpid } = ffi.dlopen(name, {
        prctl: { args: ['int', 'u64', 'u64', 'u64', 'u64'], returns: 'int' },
        waitpid: { args: ['int', 'ptr', 'int'], returns: 'int' },
      }).symbols;
      if (!prctl || !waitpid) continue;
      return {
        setUndumpable: () => prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) === 0,
        setChildSubreaper: () => prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) === 0,
        reap: (pid) => void waitpid(pid, null, WNOHANG),
      };
    } catch {
      continue;
    }
  }
  return null;
}
