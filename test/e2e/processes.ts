import { readdirSync, readFileSync } from 'node:fs';

interface ProcessEntry {
  readonly pid: number;
  readonly parent: number;
  readonly command: string;
}

/** Every living process whose command line or environment-free title names `text`. Zombies do not live. */
export function processesNaming(text: string): readonly ProcessEntry[] {
  return allProcesses().filter((entry) => entry.command.includes(text) && entry.pid !== process.pid);
}

/** Every living process below `pid`. */
export function descendantsOf(pid: number): readonly ProcessEntry[] {
  const all = allProcesses();
  const found: ProcessEntry[] = [];
  const open = [pid];
  for (let next = open.pop(); next !== undefined; next = open.pop())
    for (const entry of all)
      if (entry.parent === next) {
        found.push(entry);
        open.push(entry.pid);
      }
  return found;
}

export function allProcesses(): readonly ProcessEntry[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (state === 'Z') return [];
      const command = readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
      return [{ pid: Number(name), parent: Number(parent), command }];
    } catch {
      return [];
    }
  });
}
