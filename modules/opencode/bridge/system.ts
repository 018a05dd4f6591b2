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
  /** Whether this process has any child, dead or alive; null where the kernel gave no clear answer. */
  hasChild(): boolean | null;
}

/** Source: linux/prctl.h, wait.h, errno.h. */
const PR_SET_DUMPABLE = 4;
const PR_SET_CHILD_SUBREAPER = 36;
const WNOHANG = 1;
const WEXITED = 4;
const WNOWAIT = 0x0100_0000;
/** Also children whose end is not told by SIGCHLD. */
const WALL = 0x4000_0000;
const P_ALL = 0;
const ECHILD = 10;
const siginfoBytes = 128;

const musl = process.arch === 'arm64' ? 'libc.musl-aarch64.so.1' : 'libc.musl-x86_64.so.1';
const libraryNames = ['libc.so.6', musl, 'libc.so'];

/** The kernel through the C library of the image, glibc or musl; null where neither can be opened. */
export async function openSystem(): Promise<System | null> {
  const ffi = await import('bun:ffi').catch(() => null);
  if (!ffi) return null;
  for (const name of libraryNames) {
    try {
      const {
        prctl,
        waitpid,
        waitid,
        __errno_location: errnoAddress,
      } = ffi.dlopen(name, {
        prctl: { args: ['int', 'u64', 'u64', 'u64', 'u64'], returns: 'int' },
        waitpid: { args: ['int', 'ptr', 'int'], returns: 'int' },
        waitid: { args: ['int', 'u32', 'ptr', 'int'], returns: 'int' },
        __errno_location: { args: [], returns: 'ptr' },
      }).symbols;
      if (!prctl || !waitpid || !waitid || !errnoAddress) continue;
      const siginfo = new Uint8Array(siginfoBytes);
      return {
        setUndumpable: () => prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) === 0,
        setChildSubreaper: () => prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) === 0,
        reap: (pid) => void waitpid(pid, null, WNOHANG | WALL),
        hasChild: () => {
          if (waitid(P_ALL, 0, siginfo, WEXITED | WNOHANG | WNOWAIT | WALL) === 0) return true;
          return ffi.read.i32(errnoAddress()) === ECHILD ? false : null;
        },
      };
    } catch {
      continue;
    }
  }
  return null;
}
