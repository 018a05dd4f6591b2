import type { Request, Response } from 'express';
import { z } from 'zod';
import { callerOf } from '../identity/identity.ts';
import { ServiceError } from '../platform/errors.ts';
import { listQuery, nextCursor, parse, pathParameter, requestId, type Route, listAnswer } from '../platform/http.ts';
import { once, replay, type StoredAnswer } from '../platform/idempotency.ts';
import {
  mine,
  removeSchedule,
  resumeSchedule,
  suspendSchedule,
  triggerSchedule,
  writeSchedule,
  type Change,
} from './change-schedule.ts';
import { cadenceFields, readCronTask, readSpecCadence, cronTask } from './cron-task.ts';
import { preview } from './due.ts';
import type { FireParts } from './fire.ts';
import { listRuns, unfinishedRuns } from './run-store.ts';
import { presentRun, presentSchedule, type Schedule } from './schedule.ts';
import { listSchedules } from './schedule-store.ts';
import { previewAnswer, runAnswer, scheduleAnswer } from './schedule-shape.ts';

export interface ScheduleRouteParts extends FireParts {
  /** Looks for what may start, without keeping the caller waiting for it. */
  readonly admitSoon: () => void;
}

const base = '/api/v2/agents/schedules';
const nothing = z.strictObject({});

/** Schedules of the caller: written, looked at, suspended, resumed, triggered. Those of others do not exist. */
export function schedulesRoutes(parts: ScheduleRouteParts): Route[] {
  const present = async (schedule: Schedule) =>
    presentSchedule(schedule, await unfinishedRuns(parts.database, schedule.id), parts.clock.now());
  const named = (request: Request): string => pathParameter(request, 'name');
  const changeBy = (response: Response): Change => ({ caller: callerOf(response), requestId: requestId(response) });
  const change =
    (act: typeof suspendSchedule) =>
    async (request: Request, response: Response): Promise<void> => {
      response.json(await present(await act(parts, changeBy(response), named(request))));
    };

  return [
    {
      method: 'get',
      path: base,
      guard: 'user',
      summary: 'Lists your schedules, newest first.',
      shape: { query: listQuery, answers: { 200: listAnswer(scheduleAnswer) } },
      handler: async (request, response) => {
        const { limit, cursor } = parse(listQuery, request.query, 'The query');
        const found = await listSchedules(parts.database, { ownerId: callerOf(response).actor.id, limit, cursor });
        const items = [];
        for (const schedule of found) items.push(await present(schedule));
        const ids = found.map(({ id }) => id);
        response.json({ items, next_cursor: nextCursor(ids, limit) });
      },
    },
    {
      method: 'post',
      path: base,
      guard: 'user',
      summary: 'Creates a schedule from a CronTask.',
      shape: { body: cronTask, answers: { 201: scheduleAnswer } },
      handler: async (request, response) => {
        const { schedule } = await writeSchedule(parts, changeBy(response), readCronTask(request.body), true);
        response
          .status(201)
          .location(`${base}/${schedule.name}`)
          .json(await present(schedule));
      },
    },
    {
      method: 'post',
      path: `${base}/preview`,
      guard: 'user',
      summary: 'Says when a schedule would run next, ten times, whatever the clocks do.',
      shape: { body: z.strictObject(cadenceFields), answers: { 200: previewAnswer } },
      handler: (request, response) => {
        const spec = parse(z.strictObject(cadenceFields), request.body, 'The schedule');
        const runs = preview(readSpecCadence(spec), parts.clock.now());
        response.json({ ...spec, next_runs: runs.map((run) => run.toISOString()) });
      },
    },
    {
      method: 'put',
      path: `${base}/:name`,
      guard: 'user',
      summary: 'Creates or replaces a schedule; the body is a CronTask.',
      shape: { body: cronTask, answers: { 200: scheduleAnswer, 201: scheduleAnswer } },
      handler: async (request, response) => {
        const task = readCronTask(request.body);
        if (task.name !== named(request)) throw nameDiffers(task.name, named(request));
        const { schedule, isNew } = await writeSchedule(parts, changeBy(response), task);
        response.status(isNew ? 201 : 200).json(await present(schedule));
      },
    },
    {
      method: 'get',
      path: `${base}/:name`,
      guard: 'user',
      summary: 'Reads a schedule with its next ten runs.',
      shape: { answers: { 200: scheduleAnswer } },
      handler: async (request, response) => {
        response.json(await present(await mine(parts.database, callerOf(response), named(request))));
      },
    },
    {
      method: 'delete',
      path: `${base}/:name`,
      guard: 'user',
      summary: 'Deletes a schedule with its history; what it started goes on.',
      shape: { answers: { 204: null } },
      handler: async (request, response) => {
        await removeSchedule(parts, changeBy(response), named(request));
        response.status(204).end();
      },
    },
    {
      method: 'post',
      path: `${base}/:name/suspend`,
      guard: 'user',
      summary: 'Lets a schedule start nothing until it is resumed.',
      shape: { answers: { 200: scheduleAnswer } },
      handler: change(suspendSchedule),
    },
    {
      method: 'post',
      path: `${base}/:name/resume`,
      guard: 'user',
      summary: 'Lets a schedule start again, from now on; what was due meanwhile is skipped.',
      shape: { answers: { 200: scheduleAnswer } },
      handler: change(resumeSchedule),
    },
    {
      method: 'post',
      path: `${base}/:name/trigger`,
      guard: 'user',
      summary: 'Starts a run now.',
      shape: { answers: { 202: runAnswer } },
      handler: (request, response) => trigger(parts, request, response),
    },
    {
      method: 'get',
      path: `${base}/:name/history`,
      guard: 'user',
      summary: 'Lists what became of the runs of a schedule, newest first.',
      shape: { query: listQuery, answers: { 200: listAnswer(runAnswer) } },
      handler: async (request, response) => {
        const { limit, cursor } = parse(listQuery, request.query, 'The query');
        const schedule = await mine(parts.database, callerOf(response), named(request));
        await unfinishedRuns(parts.database, schedule.id);
        const runs = await listRuns(parts.database, { scheduleId: schedule.id, limit, cursor });
        const ids = runs.map(({ id }) => id);
        response.json({ items: runs.map(presentRun), next_cursor: nextCursor(ids, limit) });
      },
    },
  ];
}

async function trigger(parts: ScheduleRouteParts, request: Request, response: Response): Promise<void> {
  const name = pathParameter(request, 'name');
  const caller = callerOf(response);
  parse(nothing, request.body ?? {}, 'The body');
  const key = request.get('Idempotency-Key');
  const idempotency = { actor: caller.actor.id, route: `POST schedules/${name}/trigger`, key, body: {} };
  const start = (): Promise<StoredAnswer> =>
    triggerSchedule(parts, { caller, requestId: requestId(response) }, name, (tx, startRun) =>
      once(tx, parts.clock, idempotency, async () => ({
        status: 202,
        body: presentRun({ ...(await startRun()), outcome: null, endedAt: null }),
      })),
    );
  const answer = (await replay(parts.database, idempotency)) ?? (await start());
  parts.admitSoon();
  response.status(answer.status).json(answer.body);
}

const nameDiffers = (inBody: string, inPath: string): ServiceError =>
  new ServiceError(
    'invalid',
    'schedule_name_differs',
    `The body describes schedule ${inBody}, the path names ${inPath.slice(0, 100)}. Make them the same.`,
  );
