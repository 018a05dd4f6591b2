import { z } from 'zod';
import { notFound } from '../platform/errors.ts';
import { pathParameter, type Route } from '../platform/http.ts';
import { taskResult } from '../tasks/result-shape.ts';
import { executeBody, taskBody } from '../tasks/submit-task.ts';
import { workflowBody } from './submit-workflow.ts';

/** What is sent and what comes back, made of the schemas that check it. */
const schemas: Readonly<Record<string, unknown>> = Object.fromEntries(
  Object.entries({ task: taskBody, execute: executeBody, workflow: workflowBody, 'task-result': taskResult }).map(
    ([name, schema]) => [name, { title: name, ...z.toJSONSchema(schema, { io: 'input' }) }],
  ),
);

const base = '/api/v2/agents/schemas';

/** The JSON schemas (draft 2020-12) of tasks, workflows and results. */
export function schemasRoutes(): Route[] {
  return [
    {
      method: 'get',
      path: base,
      guard: 'user',
      summary: 'Names the JSON schemas of what is sent and of what comes back.',
      shape: { answers: { 200: z.record(z.string(), z.string()) } },
      handler: (_request, response) => {
        response.json(Object.fromEntries(Object.keys(schemas).map((name) => [name, `${base}/${name}`])));
      },
    },
    {
      method: 'get',
      path: `${base}/:name`,
      guard: 'user',
      summary: 'Reads the JSON schema of a task, a workflow or a result.',
      shape: { answers: { 200: 'application/schema+json' } },
      handler: (request, response) => {
        const name = pathParameter(request, 'name');
        if (!Object.hasOwn(schemas, name)) throw notFound(`Schema '${name}'`);
        response.type('application/schema+json').send(JSON.stringify(schemas[name]));
      },
    },
  ];
}
