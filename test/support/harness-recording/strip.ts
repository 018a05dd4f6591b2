/** Events that say something about a session; the rest is about plugins, catalogs and the server. */
const told = /^(server\.connected|session\.(?!diff|updated|created)|message\.|permission\.|question\.|file\.edited)/;
const ids = /\b(ses|msg|prt|evt|per|que|tool|call|chatcmpl)_[A-Za-z0-9]+/g;
/** Commits, trees and snapshots. */
const hashes = /\b[0-9a-f]{40}\b/g;
const firstTime = 1_500_000_000_000;

export const isTold = ({ type }: { readonly type: string }): boolean => told.test(type);

/** The same with ids and hashes numbered in order, times frozen and `places` renamed: two recordings differ where the harness does. */
export function strip<Value>(value: Value, places: readonly (readonly [from: string, to: string])[]): Value {
  const names = new Map<string, string>();
  const counts = new Map<string, number>();
  const next = (kind: string): number => {
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
    return counts.get(kind) ?? 0;
  };
  const named = (found: string, make: () => string): string => {
    if (!names.has(found)) names.set(found, make());
    return names.get(found) ?? found;
  };
  const inText = (text: string): string =>
    places
      .reduce((rest, [from, to]) => rest.replaceAll(from, to), text)
      .replace(ids, (id, kind: string) => named(id, () => `${kind}_${next(kind)}`))
      .replace(hashes, (hash) => named(hash, () => next('hash').toString(16).padStart(40, '0')))
      .replace(/127\.0\.0\.1:\d+(\/llm\/)?[0-9a-f]*/g, '127.0.0.1:1$1')
      .replace(/\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT/g, 'Thu, 01 Jan 2026 00:00:00 GMT')
      .replace(/\b\d{4}-\d\d-\d\dT[\d:.]+Z/g, '2026-01-01T00:00:00Z');
  const walk = (one: unknown): unknown => {
    if (typeof one === 'string') return inText(one);
    if (typeof one === 'number') return one > firstTime ? firstTime : one;
    if (Array.isArray(one)) return one.map(walk);
    if (typeof one !== 'object' || one === null) return one;
    return Object.fromEntries(Object.entries(one).map(([key, inner]) => [key, walk(inner)]));
  };
  return walk(value) as Value;
}
