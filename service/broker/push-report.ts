import { flush, packet, readPackets, longestPacket } from './pkt-line.ts';
import type { RefCommand } from './push-request.ts';

/** What became of each branch of a push. */
export interface PushReport {
  /** `ok`, or why nothing was unpacked. */
  readonly unpack: string;
  /** By branch; null where it was moved, else why not. */
  readonly refs: ReadonlyMap<string, string | null>;
}

const canHear = (capabilities: ReadonlySet<string>): boolean =>
  capabilities.has('report-status') || capabilities.has('report-status-v2');

/**
 * A refusal in git's own words, so that `git push` prints each branch with its reason; null when the client did not ask
 * for a report and so needs an HTTP status.
 */
export function refusalReport(
  commands: readonly RefCommand[],
  reasons: ReadonlyMap<string, string>,
  capabilities: ReadonlySet<string>,
): Buffer | null {
  if (!canHear(capabilities)) return null;
  const lines = commands.map(({ ref }) => packet(`ng ${ref} ${reasons.get(ref) ?? 'not sent: another was refused'}\n`));
  const report = Buffer.concat([packet('unpack ok\n'), ...lines, flush]);
  if (!capabilities.has('side-band-64k')) return report;
  const most = longestPacket - 5;
  const pieces: Buffer[] = [];
  for (let at = 0; at < report.length; at += most)
    pieces.push(packet(Buffer.concat([Buffer.from([1]), report.subarray(at, at + most)])));
  return Buffer.concat([...pieces, flush]);
}

/** Reads what a forge answered to a push; null when it said nothing that can be understood. */
export function readReport(answer: Buffer, capabilities: ReadonlySet<string>): PushReport | null {
  try {
    const report = capabilities.has('side-band-64k') ? firstBand(answer) : answer;
    const lines = readPackets(report).flatMap((line) => (line === 'flush' ? [] : [line.toString('utf8').trimEnd()]));
    const unpack = /^unpack (.*)$/s.exec(lines[0] ?? '')?.[1];
    if (unpack === undefined) return null;
    const refs = new Map<string, string | null>();
    for (const line of lines.slice(1)) {
      const [, word, ref, why] = /^(ok|ng) (\S+)(?: (.*))?$/s.exec(line) ?? [];
      if (ref !== undefined) refs.set(ref, word === 'ok' ? null : (why ?? 'refused'));
    }
    return { unpack, refs };
  } catch {
    return null;
  }
}

const firstBand = (answer: Buffer): Buffer =>
  Buffer.concat(readPackets(answer).flatMap((one) => (one !== 'flush' && one[0] === 1 ? [one.subarray(1)] : [])));
