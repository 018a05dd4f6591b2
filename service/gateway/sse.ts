/** Cuts a stream of text into whole server-sent events, each with the blank line that ends it. */
export interface EventSplitter {
  push(text: string): string[];
  /** What came after the last blank line. */
  rest(): string;
}

export function makeEventSplitter(): EventSplitter {
  let held = '';
  let searched = 0;
  return {
    push(text) {
      held += text;
      const events: string[] = [];
      const boundary = /\r?\n\r?\n/g;
      // A boundary may begin in the last three characters of what was searched before.
      boundary.lastIndex = Math.max(0, searched - 3);
      let start = 0;
      while (boundary.exec(held) !== null) {
        events.push(held.slice(start, boundary.lastIndex));
        start = boundary.lastIndex;
      }
      held = held.slice(start);
      searched = held.length;
      return events;
    },
    rest: () => held,
  };
}

/** The data of one event, its lines joined; undefined for comments and empty events. */
export function dataOf(event: string): string | undefined {
  const lines = event.split(/\r?\n/).filter((line) => line.startsWith('data:'));
  if (lines.length === 0) return undefined;
  return lines.map((line) => line.slice(5).replace(/^ /, '')).join('\n');
}
