import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import {
  changeSchedule,
  createSchedule,
  deleteSchedule,
  listSchedules,
  previewSchedule,
  showHistory,
  showSchedule,
  triggerSchedule,
} from '../../scripts/schedule.ts';
import { createWebhook, deleteWebhook, listWebhooks, rotateWebhook, showDeliveries } from '../../scripts/webhook.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { ran, type Ran } from './template-harness.ts';

let outrigger: TestService;
let folder: string;
beforeAll(async () => {
  outrigger = await startTestService();
  folder = mkdtempSync(join(tmpdir(), 'outrigger-schedule-'));
});
afterAll(async () => {
  await outrigger.stop();
  rmSync(folder, { recursive: true, force: true });
});

const flags = (output = 'text') => ({ output, service: outrigger.url });
const asAda = (run: Parameters<typeof ran>[1]): Promise<Ran> =>
  ran({ coderUrl: outrigger.coder.url, token: outrigger.people.ada.token, home: folder }, run);
const file = (name: string, text: string): string => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};

const nightly = `
apiVersion: kubeopencode.io/v1alpha1
kind: CronTask
metadata: { name: nightly }
spec:
  schedule: 30 2 * * *
  timeZone: Europe/Berlin
  taskTemplate:
    spec: { description: Look for outdated dependencies., workspace_id: ws-123 }
`;

describe('outrigger schedule', () => {
  it('creates, lists, shows, suspends, resumes, triggers, tells the history and deletes', async () => {
    expect((await asAda((around) => listSchedules(flags(), around))).stdout).toMatch(/^You have no schedule/);
    const created = await asAda((around) =>
      createSchedule('', { ...flags(), file: file('nightly.yaml', nightly) }, around),
    );
    expect(created).toMatchObject({ code: 0, stderr: '' });
    expect(created.stdout).toMatch(/^nightly +30 2 \* \* \* \(Europe\/Berlin\) {2}next 20/);
    expect((await asAda((around) => listSchedules(flags(), around))).stdout.trim().split('\n')).toHaveLength(1);
    const shown = await asAda((around) => showSchedule('nightly', flags('json'), around));
    expect(JSON.parse(shown.stdout)).toMatchObject({ kind: 'CronTask', status: { suspended_at: null } });
    expect((await asAda((around) => showHistory('nightly', flags(), around))).stdout).toMatch(/^It has not run yet/);
    expect((await asAda((around) => changeSchedule('suspend', 'nightly', flags(), around))).stdout).toMatch(
      /suspended\s*$/,
    );
    expect((await asAda((around) => triggerSchedule('nightly', flags(), around))).stdout).toMatch(
      /^nightly-\d+ +started +under way +task /,
    );
    expect((await asAda((around) => changeSchedule('resume', 'nightly', flags(), around))).stdout).toMatch(/ next 20/);
    expect((await asAda((around) => showHistory('nightly', flags(), around))).stdout).toMatch(/^nightly-\d+ +started/);
    expect((await asAda((around) => deleteSchedule('nightly', flags(), around))).stdout).toBe('Deleted nightly.');
    expect(await asAda((around) => showSchedule('nightly', flags(), around))).toMatchObject({ code: 1 });
  });

  it('previews ten runs, and says what is wrong with an expression', async () => {
    const good = await asAda((around) =>
      previewSchedule('30 2 * * *', { ...flags(), timeZone: 'Europe/Berlin' }, around),
    );
    expect(good.stdout.trim().split('\n')).toHaveLength(10);
    const bad = await asAda((around) => previewSchedule('every day', flags(), around));
    expect(bad).toMatchObject({ code: 1, stdout: '' });
    expect(bad.stderr).toContain('five fields');
  });

  it('exits 2 for a file that is not there', async () => {
    expect(await asAda((around) => createSchedule('', { ...flags(), file: '/nowhere.yaml' }, around))).toMatchObject({
      code: 2,
    });
  });
});

const reviews = `
kind: github
events: [pull_request]
mapping: [{ pointer: /pull_request/title, parameter: title }]
task: { type: opencode, payload: { action: review_code, context: { workspace_id: ws-123 } } }
`;

describe('outrigger webhook', () => {
  it('creates with a secret that is shown once, lists, rotates, tells the deliveries and deletes', async () => {
    expect((await asAda((around) => listWebhooks(flags(), around))).stdout).toMatch(/^You have no webhook/);
    const path = file('reviews.yaml', reviews);
    const created = await asAda((around) => createWebhook('reviews', { ...flags(), file: path }, around));
    expect(created).toMatchObject({ code: 0, stderr: '' });
    expect(created.stdout).toContain(`${outrigger.url}/hooks/reviews`);
    const secret = /orw_[\w-]{43}/.exec(created.stdout)?.[0];
    expect(secret).toBeDefined();
    expect(
      (await asAda((around) => createWebhook('reviews', { ...flags(), file: path }, around))).stdout,
    ).not.toContain('orw_');
    expect((await asAda((around) => listWebhooks(flags(), around))).stdout).toMatch(
      /^reviews {2}github {2}pull_request/,
    );
    const rotated = await asAda((around) => rotateWebhook('reviews', flags(), around));
    expect(/orw_[\w-]{43}/.exec(rotated.stdout)?.[0]).not.toBe(secret);
    expect((await asAda((around) => showDeliveries('reviews', flags(), around))).stdout).toMatch(/^No event has come/);
    expect((await asAda((around) => deleteWebhook('reviews', flags(), around))).stdout).toBe('Deleted reviews.');
    expect(await asAda((around) => rotateWebhook('reviews', flags(), around))).toMatchObject({ code: 1 });
  });
});
