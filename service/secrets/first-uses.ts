const mostRemembered = 20_000;

/** Tells the first use of something by an attempt from those that follow, so that one use is one audit event. */
export function makeFirstUses(): { isFirst(use: string): boolean; note(use: string): void } {
  const known = new Set<string>();
  return {
    isFirst: (use) => !known.has(use),
    note(use) {
      // What is forgotten is audited a second time, which is no harm.
      if (known.size >= mostRemembered) known.clear();
      known.add(use);
    },
  };
}
