import type { Response } from 'express';
import { z } from 'zod';
import { ServiceError } from '../platform/errors.ts';
import type { Route } from '../platform/http.ts';
import type { CallModel } from './call-model.ts';
import type { TaskIdentity } from './gateway-store.ts';
import type { ModelCatalog } from './models.ts';

/** A route that reads its own body: no parser may be mounted before it, it sets its own limit. */
export interface RawRoute extends Route {
  readonly rawBody: true;
}

/** The OpenAI-compatible door. The guard `task` leaves who is calling in `response.locals.task`. */
export function gatewayRoutes(parts: {
  readonly callModel: CallModel;
  readonly models: ModelCatalog;
}): readonly RawRoute[] {
  return [
    {
      method: 'post',
      path: '/llm/v1/chat/completions',
      guard: 'task',
      rawBody: true,
      summary: 'Makes a model call for the running task (OpenAI-compatible).',
      shape: { body: 'application/json', answers: { 200: z.unknown() } },
      handler: (request, response) => parts.callModel(callerOf(response), request, response),
    },
    {
      method: 'get',
      path: '/llm/v1/models',
      guard: 'task',
      rawBody: true,
      summary: 'Lists the models the gateway offers (OpenAI-compatible).',
      shape: {
        answers: {
          200: z.strictObject({ object: z.literal('list'), data: z.array(z.looseObject({ id: z.string() })) }),
        },
      },
      handler: (_request, response) => {
        const ids = callerOf(response).allowedModels ?? parts.models.allowed ?? [parts.models.defaultModel];
        response.json({
          object: 'list',
          data: ids.map((id) => ({ id, object: 'model', created: 0, owned_by: 'outrigger' })),
        });
      },
    },
  ];
}

function callerOf(response: Response): TaskIdentity {
  const task = response.locals['task'] as TaskIdentity | undefined;
  if (task === undefined)
    throw new ServiceError('internal', 'task_guard_missing', 'A gateway route ran without its guard.');
  return task;
}
