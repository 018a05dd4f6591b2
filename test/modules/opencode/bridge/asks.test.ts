import { describe, expect, it } from '@jest/globals';
import type { Ask } from '../../../../modules/contract.ts';
import { makeAsks } from '../../../../modules/opencode/bridge/asks.ts';

describe('what a person is asked', () => {
  it('keeps its own fields, whatever the metadata of the harness is called', () => {
    const sent: Ask[] = [];

    makeAsks(
      (ask) => sent.push(ask),
      () => null,
    ).raise({
      id: 'per_1',
      sessionID: 'ses_1',
      permission: 'bash',
      patterns: ['rm *'],
      tool: { messageID: 'msg_1', callID: 'call_1' },
      metadata: { permission: 'read', patterns: 'ls', session_id: 'other', call_id: 'other', command: 'rm -rf x' },
    });

    expect(sent[0]?.detail).toEqual({
      permission: 'bash',
      patterns: ['rm *'],
      session_id: 'ses_1',
      call_id: 'call_1',
      command: 'rm -rf x',
    });
  });
});
