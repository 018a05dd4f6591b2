import { prepareOurs, type Dispatch } from './dispatch-ours.ts';
import { preparePgBoss } from './dispatch-pg-boss.ts';
import { preparePeer, type PeerDispatch } from './dispatch-peer.ts';
import type { Measurement, Row } from './measurement.ts';
import { median, milliseconds, p50p99, percentile } from './statistics.ts';

const blocks = 10;
const perBlock = 24;
/** Each waits for half a second of polling. */
const bossPerBlock = 6;
const fewest = 200;
/** No block is begun after this long, so that a busy machine costs samples, not minutes. */
const budgetMs = 110_000;
const warmUps = 10;

/** Submit → lease offered, block by block beside graphile-worker on the same server: A/B/A/B, for noise meets both. */
export const measureDispatch: Measurement = {
  name: 'dispatch',
  title: 'submit → lease offered, beside graphile-worker and pg-boss',
  limitMs: 150_000,
  async measure(ground, tell) {
    const ours = await prepareOurs(ground, await ground.newDatabase('dispatch_ours'));
    const peer = await preparePeer(ground, await ground.newDatabase('dispatch_peer'));
    const boss = await preparePgBoss(ground, await ground.newDatabase('dispatch_pg_boss'));
    await collect(warmUps, ours, []);
    await collect(warmUps, peer, []);
    const mine: Dispatch[] = [];
    const theirs: PeerDispatch[] = [];
    const theBoss: number[] = [];
    const from = performance.now();
    for (let block = 1; block <= blocks && performance.now() - from < budgetMs; block += 1) {
      await collect(perBlock, ours, mine);
      await collect(perBlock, peer, theirs);
      await collect(bossPerBlock, boss, theBoss);
      const [a, b] = [mine.slice(-perBlock), theirs.slice(-perBlock)].map((some) => median(some.map(wholeOf)));
      tell(`block ${block}/${blocks}: p50 ours ${milliseconds(a ?? NaN)}, peer ${milliseconds(b ?? NaN)}`);
    }
    if (mine.length < fewest) throw new Error(`Only ${mine.length} dispatches fit into ${budgetMs / 1_000} s.`);
    return [
      ...rowsOf(mine, theirs),
      {
        what: 'pg-boss send → handler: p50 · p99',
        value: p50p99(theBoss),
        note: `n=${theBoss.length}; polls every 0.5 s`,
      },
    ];
  },
};

async function collect<Sample>(count: number, once: () => Promise<Sample>, into: Sample[]): Promise<void> {
  for (let index = 0; index < count; index += 1) into.push(await once());
}

const wholeOf = (sample: { readonly wholeMs: number }): number => sample.wholeMs;
const innerOf = (sample: { readonly innerMs: number }): number => sample.innerMs;

function rowsOf(mine: readonly Dispatch[], theirs: readonly PeerDispatch[]): readonly Row[] {
  const count = `n=${mine.length}`;
  const stage = (pick: (one: Dispatch) => number): string => p50p99(mine.map(pick));
  return [
    { what: 'submit → lease: p50 · p99', value: p50p99(mine.map(wholeOf)), note: `${count}; over HTTP and WebSocket` },
    { what: 'peer addJob → task function: p50 · p99', value: p50p99(theirs.map(wholeOf)), note: `n=${theirs.length}` },
    { what: 'ratio ours/peer: p50 · p99', value: ratio(mine.map(wholeOf), theirs.map(wholeOf)), note: 'whole way' },
    { what: 'task committed → lease: p50 · p99', value: p50p99(mine.map(innerOf)), note: count },
    { what: 'peer job committed → task function', value: p50p99(theirs.map(innerOf)), note: `n=${theirs.length}` },
    { what: 'ratio ours/peer: p50 · p99', value: ratio(mine.map(innerOf), theirs.map(innerOf)), note: 'inner way' },
    {
      what: '  request → task committed',
      value: stage((one) => one.requestToCommitMs),
      note: 'HTTP, Coder twice, audit',
    },
    { what: '  committed → admitted', value: stage((one) => one.commitToAdmittedMs), note: 'places, engine row' },
    { what: '  admitted → offered', value: stage((one) => one.admittedToOfferedMs), note: 'engine polls, asks Coder' },
    {
      what: '  offered → lease at the bridge',
      value: stage((one) => one.offeredToLeaseMs),
      note: 'NOTIFY, token, audit',
    },
  ];
}

const ratio = (mine: readonly number[], theirs: readonly number[]): string =>
  [0.5, 0.99].map((share) => `${(percentile(mine, share) / percentile(theirs, share)).toFixed(1)} ×`).join(' · ');
