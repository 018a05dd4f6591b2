import { describe, expect, it } from '@jest/globals';
import { parse, stringify } from 'yaml';
import { importSessions } from '../../scripts/import.ts';
import { readCronTask } from '../../service/schedules/cron-task.ts';

const session = {
  name: 'schedule-1763000000',
  namespace: 'team-a',
  schedule: '0 6 * * 1-5',
  suspend: true,
  displayName: 'Morning triage',
  sessionTemplate: {
    initialPrompt: 'Triage the new issues.',
    timeout: 900,
    llmSettings: { model: 'some-model' },
    environmentVariables: { TOKEN: 'canary-value' },
    repos: [{ url: 'https://git.example.com/a' }],
  },
  activeCount: 0,
};
const reading = (value: unknown) => importSessions('f.yaml', stringify(value));

describe('outrigger import acp', () => {
  it('makes a CronTask of a scheduled session, and names by path whatever has no meaning here', () => {
    const { text, leftOut } = reading(session);

    expect(parse(text)).toEqual({
      apiVersion: 'kubeopencode.io/v1alpha1',
      kind: 'CronTask',
      metadata: { name: 'schedule-1763000000', annotations: { 'outrigger/display-name': 'Morning triage' } },
      spec: {
        schedule: '0 6 * * 1-5',
        timeZone: 'UTC',
        concurrencyPolicy: 'Forbid',
        startingDeadlineSeconds: 300,
        suspend: true,
        taskTemplate: { spec: { description: 'Triage the new issues.', timeout: '900s' } },
      },
    });
    expect(leftOut).toEqual([
      'namespace',
      'activeCount',
      'sessionTemplate.llmSettings',
      'sessionTemplate.environmentVariables',
      'sessionTemplate.repos',
    ]);
    expect(text + leftOut.join('')).not.toContain('canary');
    expect(readCronTask(parse(text)).name).toBe('schedule-1763000000');
  });

  it('reads the CronJob that the platform keeps it as, and a list', () => {
    const env = [{ name: 'SESSION_TEMPLATE', value: JSON.stringify(session.sessionTemplate) }];
    const job = {
      apiVersion: 'batch/v1',
      kind: 'CronJob',
      metadata: { name: 'nightly', annotations: { 'ambient-code.io/display-name': 'Nightly' } },
      spec: {
        schedule: '0 2 * * *',
        timeZone: 'Europe/Berlin',
        failedJobsHistoryLimit: 3,
        jobTemplate: { spec: { template: { spec: { containers: [{ name: 'trigger', env }] } } } },
      },
    };
    const ofJob = reading(job);
    expect(parse(ofJob.text)).toMatchObject({
      metadata: { name: 'nightly' },
      spec: { timeZone: 'Europe/Berlin', taskTemplate: { spec: { description: 'Triage the new issues.' } } },
    });
    expect(ofJob.leftOut).toContain('spec.failedJobsHistoryLimit');

    const { name: _name, ...unnamed } = session;
    const ofList = reading({ items: [session, unnamed] });
    expect(ofList.text).toMatch(/name: schedule-1763000000[^]*\n---\n[^]*name: morning-triage/);
    expect(ofList.leftOut).toContain('items.1.sessionTemplate.repos');
  });

  it.each<[string, unknown, RegExp]>([
    ['no session', { hello: 1 }, /holds no scheduled session/],
    ['nothing to do', { ...session, sessionTemplate: {} }, /sessionTemplate\.initialPrompt is missing/],
    ['a schedule that is none', { ...session, schedule: 'daily' }, /spec\.schedule/],
    ['no name at all', { ...session, name: undefined, displayName: '—' }, /name is missing/],
  ])('refuses %s', (_what, value, words) => {
    expect(() => reading(value)).toThrow(words);
  });
});
