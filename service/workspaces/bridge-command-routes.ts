import type { Request, Response } from 'express';
import { unknownCommand } from '../../modules/contract.ts';
import type { Authorize } from '../identity/authorize.ts';
import { callerOf } from '../identity/identity.ts';
import { uuidv7, type Clock } from '../platform/clock.ts';
import { parse, pathParameter, requestId, type Route } from '../platform/http.ts';
import { commandAnswer, commandBody, commandWaits, isTool, withoutOwnWords } from './bridge-command.ts';
import { makeSendCommand, type CommandEnd, type SendCommandParts } from './send-command.ts';

export interface BridgeCommandRouteParts extends SendCommandParts {
  readonly authorize: Pick<Authorize, 'workspace'>;
  readonly clock: Clock;
}

const shape = { body: commandBody, answers: { 200: commandAnswer, 202: commandWaits } };

/**
 * Commands to the bridge of a workspace, for whoever may use it in Coder: the envelope in, the envelope out.
 *
 * Answers  200 with what the bridge said, a refusal of its own too; 202 where somebody must approve it first.
 */
export function bridgeCommandRoutes(parts: BridgeCommandRouteParts): Route[] {
  const send = makeSendCommand(parts);

  async function handle(request: Request, response: Response, named?: string): Promise<void> {
    const body = parse(commandBody, request.body, 'The command');
    const caller = callerOf(response);
    const workspace = await parts.authorize.workspace(caller, named ?? body.workspace_id, requestId(response));
    const { type, id = uuidv7(parts.clock) } = body;
    if (!isTool(type)) return void response.json({ id, success: false, error: unknownCommand(type) });
    const end = await send({
      caller,
      workspace,
      command: { id, type, payload: withoutOwnWords(body.payload) },
      profile: body.profile,
      approvalId: body.approval_id,
      requestId: requestId(response),
    });
    answer(response, id, end);
  }

  return [
    {
      method: 'post',
      path: '/api/container',
      guard: 'user',
      summary: 'Sends a command to the bridge of a workspace you may use: files, searches, programs, commits, pushes.',
      shape,
      handler: (request, response) => handle(request, response),
    },
    {
      method: 'post',
      path: '/api/v2/agents/workspaces/:workspaceId/commands',
      guard: 'user',
      summary: 'The same for the workspace that the path names.',
      shape,
      handler: (request, response) => handle(request, response, pathParameter(request, 'workspaceId')),
    },
  ];
}

function answer(response: Response, id: string, end: CommandEnd): void {
  if ('answer' in end) return void response.json({ id, ...end.answer });
  const { waitsFor } = end;
  response.status(202).json({
    id,
    approval_id: waitsFor.id,
    state: 'pending',
    expires_at: waitsFor.expiresAt.toISOString(),
  });
}
