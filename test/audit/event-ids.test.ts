import { describe, expect, it } from '@jest/globals';
import { makeEventIds } from '../../service/audit/event-ids.ts';
import { isUuid } from '../../service/platform/clock.ts';

describe('S-62 Ids of audit events', () => {
  it('sort by age, also within one millisecond', () => {
    const nextId = makeEventIds();
    const start = Date.parse('2026-11-21T09:00:00Z');
    const ids = [start, start + 1, start + 1000].flatMap((time) =>
      Array.from({ length: 4096 }, () => nextId(new Date(time))),
    );

    expect(ids).toEqual(ids.toSorted());
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.every((id) => isUuid(id) && id[14] === '7')).toBe(true);
  });
});
