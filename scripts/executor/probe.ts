import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Engine } from '../images/settings.ts';
import { askEngine } from './engine.ts';

/** What one run of probe.sh said: every value of every name. Empty where no shell ran it. */
export type Probe = ReadonlyMap<string, readonly string[]>;

/** Runs probe.sh in an image as `user` (`uid:gid`), without network and capabilities. */
export async function probeImage(engine: Engine, image: string, user: string): Promise<Probe> {
  const script = readFileSync(join(import.meta.dirname, 'probe.sh'), 'utf8');
  const { stdout } = await askEngine(engine, [
    ...['run', '--rm', '--network', 'none', '--user', user, '--cap-drop', 'ALL'],
    ...['--security-opt', 'no-new-privileges', '--entrypoint', 'sh', image, '-c', script],
  ]);
  return parseProbe(stdout);
}

/** Reads `name=value` lines; anything else is passed over. What a server said may end as its lines do, in CR and LF. */
export function parseProbe(output: string): Probe {
  const values = new Map<string, string[]>();
  for (const line of output.split(/\r?\n/)) {
    const [, name, value] = /^([\w.]+)=(.*)$/.exec(line) ?? [];
    if (name === undefined || value === undefined) continue;
    values.set(name, [...(values.get(name) ?? []), value]);
  }
  return values;
}

export const valueOf = (probe: Probe, name: string): string | undefined => probe.get(name)?.[0];
