import { describe, expect, it } from '@jest/globals';
import type { IdeReport } from '../../modules/contract.ts';
import {
  isAstray,
  isSettled,
  nextRepair,
  nothingReported,
  statusOf,
  unknownIde,
  type IdeGround,
  type IdePhase,
} from '../../service/workspaces/ide.ts';
import { ideUrl, workspaceStatus } from '../../service/workspaces/workspace.ts';

const ready: IdeGround = { connected: true, running: true };
const record = (wanted: boolean | null, reported: Partial<IdeReport> = {}) => ({
  ...unknownIde('w'),
  wanted,
  reported: { ...nothingReported, ...reported },
});

describe('where an IDE stands', () => {
  it.each<[string, boolean | null, Partial<IdeReport>, Partial<IdeGround>, IdePhase, boolean]>([
    ['nobody asked and nothing is known', null, {}, {}, 'Disabled', false],
    ['nobody asked and the template starts it', null, { phase: 'Starting' }, {}, 'Starting', true],
    ['nobody asked and the template’s is there', null, { phase: 'Ready' }, {}, 'Ready', true],
    ['nobody asked and it is off', null, { phase: 'Stopped' }, {}, 'Disabled', false],
    ['nobody asked and no bridge is there', null, {}, { connected: false }, 'Disabled', false],
    [
      'it was asked for and the workspace stands',
      true,
      { enabled: true, phase: 'Ready' },
      { running: false },
      'Pending',
      true,
    ],
    [
      'it was asked for and no bridge is there',
      true,
      { enabled: true, phase: 'Ready' },
      { connected: false },
      'Pending',
      true,
    ],
    ['it was asked for and the workspace has not heard', true, {}, {}, 'Pending', true],
    [
      'it was asked for and the workspace lives by the wish before',
      true,
      { enabled: false, phase: 'Stopped' },
      {},
      'Pending',
      true,
    ],
    ['it was asked for and the worker is silent', true, { enabled: true }, {}, 'Pending', true],
    ['it was asked for and the worker has not begun', true, { enabled: true, phase: 'Stopped' }, {}, 'Pending', true],
    ['it was asked for and starts', true, { enabled: true, phase: 'Starting' }, {}, 'Starting', true],
    ['it was asked for and is there', true, { enabled: true, phase: 'Ready' }, {}, 'Ready', true],
    ['it was asked for and failed', true, { enabled: true, phase: 'Failed' }, {}, 'Failed', true],
    ['it was put off and the workspace has not heard', false, { enabled: true, phase: 'Ready' }, {}, 'Pending', false],
    ['it was put off and still ends', false, { enabled: false, phase: 'Ready' }, {}, 'Pending', false],
    ['it was put off and is gone', false, { enabled: false, phase: 'Stopped' }, {}, 'Disabled', false],
    [
      'it was put off and the workspace stands',
      false,
      { enabled: true, phase: 'Ready' },
      { running: false },
      'Disabled',
      false,
    ],
  ])('%s', (_title, wanted, reported, ground, phase, enabled) => {
    expect(statusOf(record(wanted, reported), { ...ready, ...ground })).toMatchObject({ phase, enabled });
  });

  it('says with a failure what the worker said, and what to do', () => {
    const { message } = statusOf(record(true, { enabled: true, phase: 'Failed', message: 'No code-server.' }), ready);

    expect(message).toMatch(/^No code-server\. Ask for the IDE again .*ide_enabled=true/);
  });

  it('is settled where nothing more happens by itself, and astray where the workspace lives by another wish', () => {
    const phases: IdePhase[] = ['Pending', 'Starting', 'Recreating', 'Ready', 'Failed', 'Disabled'];

    expect(phases.filter((phase) => isSettled({ phase, enabled: true, message: '' }))).toEqual([
      'Ready',
      'Failed',
      'Disabled',
    ]);
    expect([null, true, false].map((wanted) => isAstray(record(wanted, { enabled: true })))).toEqual([
      false,
      false,
      true,
    ]);
  });

  it('is repaired less and less often, and at least once an hour', () => {
    const pauses = [0, 1, 2, 8, 9, 500].map((repairs) => nextRepair(repairs, new Date(0)).getTime() / 1_000);

    expect(pauses).toEqual([10, 20, 40, 2_560, 3_600, 3_600]);
  });
});

describe('a workspace', () => {
  it('is in one of five states for every word that Coder has, and for one it may yet invent', () => {
    const words = ['pending', 'starting', 'running', 'stopping', 'stopped', 'failed', 'canceling', 'canceled'];

    expect([...words, 'deleting', 'deleted', 'dreaming'].map(workspaceStatus)).toEqual([
      ...['STARTING', 'STARTING', 'RUNNING', 'STOPPING', 'STOPPED', 'ERROR', 'STOPPING', 'ERROR'],
      ...['STOPPING', 'STOPPED', 'ERROR'],
    ]);
  });

  it('has its IDE below Coder’s own address', () => {
    expect(ideUrl('https://coder.example.com/', { ownerName: 'ada', name: 'ws-123' })).toBe(
      'https://coder.example.com/@ada/ws-123.main/apps/ide/',
    );
  });
});
