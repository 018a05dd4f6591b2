import { z } from 'zod';
import { createDocument, type ZodOpenApiObject, type ZodOpenApiOperationObject } from 'zod-openapi';
import type { Guard, Route, RouteShape } from './http.ts';

/** An OpenAPI 3.1 document. */
export type ApiDocument = ReturnType<typeof createDocument>;

type Responses = NonNullable<ZodOpenApiOperationObject['responses']>;

const problem = z
  .strictObject({
    type: z.string(),
    title: z.string(),
    status: z.number().int(),
    detail: z.string().meta({ description: 'What is wrong, why, and what to do.' }),
    code: z.string().meta({ description: 'One word for programs; it does not change.' }),
    request_id: z.string(),
    errors: z.array(z.strictObject({ path: z.string(), message: z.string() })).optional(),
  })
  .meta({ id: 'Problem', description: 'Why a request was refused (RFC 9457).' });

const security: Readonly<Record<Guard, readonly Record<string, string[]>[]>> = {
  open: [{}],
  user: [{ coderSessionToken: [] }, { bearer: [] }],
  task: [{ taskToken: [] }],
  proof: [{}],
};

const securitySchemes = {
  coderSessionToken: {
    type: 'apiKey',
    in: 'header',
    name: 'Coder-Session-Token',
    description: 'A token of Coder; it decides what the caller may do. `X-API-KEY` is an alias.',
  },
  bearer: { type: 'http', scheme: 'bearer', description: 'The same token as `Authorization: Bearer`.' },
  taskToken: {
    type: 'http',
    scheme: 'bearer',
    description: 'The token of one running task; it ends with its attempt.',
  },
} as const;

/** Everything the service answers as an OpenAPI 3.1 document, made of the schemas that check requests. */
export function makeApiDocument(routes: readonly Route[], about: { version: string }): ApiDocument {
  const paths: Record<string, Record<string, ZodOpenApiOperationObject>> = {};
  for (const route of routes) {
    const path = templateOf(route.path);
    paths[path] = { ...paths[path], [route.method]: operationOf(route) };
  }
  const document: ZodOpenApiObject = {
    openapi: '3.1.0',
    info: {
      title: 'Outrigger',
      version: about.version,
      description: 'Agents on your own Coder: tasks, workflows, approvals, budgets and the audit.',
    },
    paths,
    components: { securitySchemes },
  };
  return createDocument(document);
}

/** `/tasks/:taskId` → `/tasks/{taskId}`; `*rest` holds slashes, which OpenAPI has no word for. */
export const templateOf = (path: string): string => path.replace(/[:*](\w+)/g, '{$1}');

function operationOf(route: Route): ZodOpenApiOperationObject {
  const names = [...route.path.matchAll(/[:*](\w+)/g)].map(([, name = '']) => name);
  const { query, body, answers, otherTypes } = route.shape ?? unsaid;
  return {
    operationId: operationIdOf(route),
    summary: route.summary,
    tags: [tagOf(route.path)],
    security: [...security[route.guard]],
    ...(route.deprecated ? { deprecated: true } : {}),
    requestParams: {
      ...(names.length > 0 ? { path: z.object(Object.fromEntries(names.map((name) => [name, z.string()]))) } : {}),
      ...(query ? { query } : {}),
    },
    ...(body === undefined ? {} : { requestBody: { required: true, content: contentOf(body) } }),
    responses: responsesOf(answers, otherTypes ?? []),
  };
}

type Content = ReturnType<typeof contentOf>;
const contentOf = (shape: z.ZodType | string) =>
  typeof shape === 'string'
    ? { [shape]: { schema: { type: 'string' as const } } }
    : { 'application/json': { schema: shape } };

const unsaid: RouteShape = { answers: { 200: z.unknown() } };

function responsesOf(answers: RouteShape['answers'], otherTypes: readonly string[]): Responses {
  const responses: Responses = {
    default: { description: 'The request was refused.', content: { 'application/problem+json': { schema: problem } } },
  };
  for (const [status, shape] of Object.entries(answers))
    responses[status as '200'] = {
      description: descriptions[status] ?? 'Done.',
      ...(shape === null
        ? {}
        : {
            content: Object.assign(contentOf(shape), ...(status === '200' ? otherTypes.map(contentOf) : [])) as Content,
          }),
    };
  return responses;
}

const descriptions: Readonly<Record<string, string>> = {
  200: 'Done.',
  201: 'Created.',
  202: 'Accepted; what follows is told by what the answer names.',
  204: 'Done; there is nothing to say.',
  304: 'Nothing changed since the ETag that was sent.',
};

/** `GET /api/v2/agents/tasks/:taskId` → `get_tasks_taskId`: unique because method and path are. */
const operationIdOf = ({ method, path }: Route): string =>
  [method, ...shortened(path).split(/[^A-Za-z0-9]+/)].filter(Boolean).join('_');

const tagOf = (path: string): string => shortened(path).split('/').filter(Boolean)[0] ?? 'process';

const shortened = (path: string): string => path.replace(/^\/api\/v2\/agents/, '');
