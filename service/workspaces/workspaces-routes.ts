import type { Request, Response } from 'express';
import { z } from 'zod';
import { currentGeneration, readPresence } from '../bridge/bridge-store.ts';
import type { CoderWorkspace } from '../coder/coder.ts';
import type { Authorize } from '../identity/authorize.ts';
import { callerOf } from '../identity/identity.ts';
import { ServiceError } from '../platform/errors.ts';
import { parse, pathParameter, requestId, type Route } from '../platform/http.ts';
import { isRecreating, isSettled, rebuildOf, statusOf, type IdeStatus } from './ide.ts';
import { readIde } from './ide-store.ts';
import { wishIde, type IdeParts } from './reconcile-ide.ts';
import { recreateWithIde, type Recreation } from './recreate.ts';
import { presentIdeReply, presentIdeStatus, presentWorkspace, type BridgePresence } from './workspace.ts';
import { ideReply, ideStatus, workspaceAnswer } from './workspace-shape.ts';

export interface WorkspaceRouteParts extends IdeParts {
  readonly authorize: Pick<Authorize, 'workspace'>;
  /** Where people reach Coder. */
  readonly coderUrl: string;
  /** Without it no workspace is built anew from here. */
  readonly recreation?: Recreation;
}

const base = '/api/v2/agents/workspaces/:workspaceId';
const longestWaitSeconds = 60;
const lookMs = 250;

const waitQuery = z.object({ wait: z.coerce.number().int().min(0).max(longestWaitSeconds).default(0) });
const enableBody = z
  .strictObject({
    /** A new build with the IDE, where this one cannot start it. */
    recreate: z.boolean().default(false),
    /** That whoever asks knows what a new build ends. */
    confirm: z.boolean().default(false),
  })
  .default({ recreate: false, confirm: false });

export function workspacesRoutes(parts: WorkspaceRouteParts): Route[] {
  return [
    {
      method: 'get',
      path: base,
      guard: 'user',
      summary: 'Reads a workspace you may use: its state, its bridge and its IDE.',
      shape: { answers: { 200: workspaceAnswer } },
      handler: async (request, response) => {
        const workspace = await usableWorkspace(parts, request, response);
        const seen = await look(parts, workspace);
        response.json(presentWorkspace(seen));
      },
    },
    {
      method: 'get',
      path: `${base}/ide`,
      guard: 'user',
      summary: 'Tells where the IDE of a workspace stands.',
      shape: { answers: { 200: ideStatus } },
      handler: async (request, response) => {
        const workspace = await usableWorkspace(parts, request, response);
        response.json(presentIdeStatus(await look(parts, workspace)));
      },
    },
    {
      method: 'post',
      path: `${base}/ide`,
      guard: 'user',
      summary: 'Starts the IDE of a workspace without restarting anything; ?wait= holds the answer until it is there.',
      shape: { query: waitQuery, body: enableBody, answers: { 200: ideReply, 202: ideReply } },
      handler: async (request, response) => {
        const { recreate, confirm } = parse(enableBody, request.body ?? undefined, 'The request');
        const workspace = await usableWorkspace(parts, request, response);
        if (!recreate) return change(parts, workspace, true, request, response);
        const { wait } = parse(waitQuery, request.query, 'The query');
        if (!parts.recreation || !confirm) throw recreationNeedsConsent(workspace, parts.recreation !== undefined);
        await recreateWithIde(parts, parts.recreation, workspace, callerOf(response), requestId(response));
        await reply(wait, parts, workspace, response);
      },
    },
    {
      method: 'delete',
      path: `${base}/ide`,
      guard: 'user',
      summary: 'Stops the IDE of a workspace; files and sessions stay.',
      shape: { query: waitQuery, answers: { 200: ideReply, 202: ideReply } },
      handler: async (request, response) =>
        change(parts, await usableWorkspace(parts, request, response), false, request, response),
    },
  ];
}

/** The same right as giving it work; a workspace that the caller may not use does not exist for them. */
const usableWorkspace = (parts: WorkspaceRouteParts, request: Request, response: Response): Promise<CoderWorkspace> =>
  parts.authorize.workspace(callerOf(response), pathParameter(request, 'workspaceId'), requestId(response));

interface Seen {
  readonly workspace: CoderWorkspace;
  readonly ide: IdeStatus;
  readonly bridge: BridgePresence | null;
  readonly coderUrl: string;
}

async function look({ database, clock, coderUrl }: WorkspaceRouteParts, workspace: CoderWorkspace): Promise<Seen> {
  const record = await readIde(database, workspace.id);
  const bridge = await readPresence(database, workspace.id);
  const isUnderWay =
    record.recreation !== null && isRecreating(record, await currentGeneration(database, workspace.id), clock.now());
  const ground = {
    connected: bridge?.connected ?? false,
    running: workspace.status === 'running',
    rebuild: rebuildOf(isUnderWay, workspace.status),
  };
  return { workspace, ide: statusOf(record, ground), bridge, coderUrl };
}

async function change(
  parts: WorkspaceRouteParts,
  workspace: CoderWorkspace,
  enabled: boolean,
  request: Request,
  response: Response,
): Promise<void> {
  const { wait } = parse(waitQuery, request.query, 'The query');
  const by = { actorId: callerOf(response).actor.id, requestId: requestId(response) };
  await parts.database.transaction((tx) => wishIde(tx, parts, workspace, enabled, by));
  await reply(wait, parts, workspace, response);
}

async function reply(
  waitSeconds: number,
  parts: WorkspaceRouteParts,
  workspace: CoderWorkspace,
  response: Response,
): Promise<void> {
  const seen = await settledWithin(waitSeconds * 1_000, parts, workspace, response);
  response.status(isSettled(seen.ide) ? 200 : 202).json(presentIdeReply(seen));
}

/** Looks until the IDE is settled, time is up or the caller has gone. Coder is asked once, before. */
async function settledWithin(
  waitMs: number,
  parts: WorkspaceRouteParts,
  workspace: CoderWorkspace,
  response: Response,
): Promise<Seen> {
  const until = parts.clock.now().getTime() + waitMs;
  for (;;) {
    const seen = await look(parts, workspace);
    if (isSettled(seen.ide) || parts.clock.now().getTime() >= until || response.destroyed) return seen;
    await new Promise((resolve) => setTimeout(resolve, lookMs));
  }
}

const recreationNeedsConsent = ({ name }: Pick<CoderWorkspace, 'name'>, isOffered: boolean): ServiceError =>
  new ServiceError(
    'conflict',
    'ide_needs_build',
    isOffered
      ? `A new build replaces the containers of workspace ${name} and ends what runs there; files and committed work stay. Send "confirm": true with "recreate": true to have its tasks ended and the build made.`
      : `Workspace ${name} is not rebuilt from here. A new build replaces its containers and ends what runs there: stop its tasks, then update the workspace in Coder with ide_enabled=true.`,
  );
