import { describe, expect, it } from '@jest/globals';
import type { HarnessClient } from '../../../../modules/opencode/bridge/harness.ts';
import { openSession } from '../../../../modules/opencode/bridge/session.ts';
import { aLease } from '../../../support/bridge/bridge-process.ts';

type Sessions = Pick<HarnessClient, 'createSession' | 'hasSession' | 'rootSessions'>;

/** Sessions by id; the newest is listed first. */
function harnessWith(titles: Record<string, string>): HarnessClient {
  const sessions: Sessions = {
    createSession: async (title) => {
      const id = `ses_${Object.keys(titles).length + 1}`;
      titles[id] = title;
      return id;
    },
    hasSession: async (id) => id in titles,
    rootSessions: async () => Object.keys(titles).reverse(),
  };
  return sessions as HarnessClient;
}

describe('C-08 the session of a task', () => {
  it('is titled organization, task and the end of its id, as the service named the task', async () => {
    const titles: Record<string, string> = {};

    await openSession(harnessWith(titles), aLease('x', { title: 'acme/generate_code/0123abcd' }), () => undefined);

    expect(titles).toEqual({ ses_1: 'acme/generate_code/0123abcd' });
  });

  it('is found by its id, whatever others are called like it', async () => {
    const title = 'acme/generate_code/0123abcd';
    const titles = { ses_1: 'acme/other/00000000', ses_2: title, ses_3: title };
    const told: unknown[] = [];

    const lease = aLease('x', { title, session_id: 'ses_2', attempt: 2 });
    const session = await openSession(harnessWith(titles), lease, (type, data) => told.push([type, data]));

    expect(session).toBe('ses_2');
    expect(told).toEqual([['session.resumed', { session_id: 'ses_2', attempt: 2 }]]);
    expect(Object.keys(titles)).toHaveLength(3);
  });
});
