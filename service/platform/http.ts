import type { NextFunction, Request, RequestHandler, Response } from 'express';
import { z } from 'zod';
import { isUuid } from './clock.ts';
import type { Flag } from './flags.ts';
import { httpStatus, ServiceError, type FieldError } from './errors.ts';

/** How a caller proves who they are on a route. */
export type Guard = 'open' | 'user' | 'task' | 'proof';

/** Since when a route should not be used, from when it is no more, and the path that takes its place. */
export interface Deprecated {
  readonly since: Date;
  readonly sunset: Date;
  readonly instead: string;
}

/** What a route takes and gives: from it come the API document and the client. */
export interface RouteShape {
  readonly query?: z.ZodObject;
  /** The body; a word is the media type of one that is no JSON. */
  readonly body?: z.ZodType | string;
  /** Answers by status; a word is the media type of one that is no JSON, null is an answer without a body. */
  readonly answers: Readonly<Record<number, z.ZodType | string | null>>;
  /** Other media types of a 200, for whom asks for them with `Accept`. */
  readonly otherTypes?: readonly string[];
}

/** One route, declared as data: `server.ts` puts the guard before the handler. */
export interface Route {
  readonly method: 'get' | 'post' | 'put' | 'delete';
  readonly path: string;
  readonly guard: Guard;
  /** One line for the API document. */
  readonly summary: string;
  readonly shape?: RouteShape;
  /** It is going: what takes its place is said with each answer. */
  readonly deprecated?: Deprecated;
  /** What must be on for one of the caller's organizations. */
  readonly flag?: Flag;
  readonly handler: (request: Request, response: Response, next: NextFunction) => Promise<void> | void;
}

/** Checks `value` against `schema`; every fault is named with its path. Throws `invalid` (400). */
export function parse<Schema extends z.ZodType>(schema: Schema, value: unknown, what: string): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const errors: FieldError[] = result.error.issues.map((issue) => ({
    path: issue.path.join('.') || '(body)',
    message: issue.message,
  }));
  const first = errors[0];
  throw new ServiceError(
    'invalid',
    'invalid_request',
    `${what} is not valid: ${first?.path}: ${first?.message}. See errors[] for every fault.`,
    {
      errors,
    },
  );
}

/** A path parameter that must be there because the route's path names it. */
export function pathParameter(request: Request, name: string): string {
  const value = request.params[name];
  if (typeof value !== 'string') throw new ServiceError('internal', 'path_parameter_missing', `Route lacks :${name}.`);
  return value;
}

/** The routes of what can be turned off. */
export const behind = (flag: Flag, routes: readonly Route[]): Route[] => routes.map((route) => ({ ...route, flag }));

export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: string;
  readonly request_id: string;
  readonly errors?: readonly FieldError[];
}

const titles: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  409: 'Conflict',
  413: 'Content Too Large',
  422: 'Unprocessable Content',
  426: 'Upgrade Required',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
};

/** Anything thrown becomes an RFC 9457 problem; what is not a ServiceError is a bug and says nothing. */
export function toProblem(error: unknown, requestId: string): Problem {
  const known = asServiceError(error);
  const status = httpStatus[known.kind];
  return {
    type: 'about:blank',
    title: titles[status] ?? 'Error',
    status,
    detail: known.message,
    code: known.code,
    request_id: requestId,
    ...(known.errors.length > 0 ? { errors: known.errors } : {}),
  };
}

export function asServiceError(error: unknown): ServiceError {
  if (error instanceof ServiceError) return error;
  const type = typeof error === 'object' && error !== null && 'type' in error ? error.type : undefined;
  if (type === 'entity.too.large')
    return new ServiceError(
      'too_large',
      'body_too_large',
      'The body is larger than 1 MiB. Send less, or attach files to the workspace.',
    );
  if (type === 'entity.parse.failed' || type === 'encoding.unsupported' || type === 'charset.unsupported')
    return new ServiceError('invalid', 'malformed_json', 'The body is not valid JSON in UTF-8. Check its syntax.');
  if (type === 'request.aborted' || type === 'request.size.invalid')
    return new ServiceError('invalid', 'incomplete_body', 'The body ended early. Send it again.');
  if (error instanceof URIError)
    return new ServiceError(
      'invalid',
      'malformed_url',
      'The URL holds a percent sign that encodes nothing. Encode it as %25.',
    );
  return new ServiceError(
    'internal',
    'internal',
    'Something broke on our side. Quote the request id to whoever runs the service.',
    {
      cause: error,
    },
  );
}

export const requestId = (response: Response): string => String(response.locals['requestId'] ?? '');

export function sendProblem(response: Response, error: unknown): void {
  const known = asServiceError(error);
  const problem = toProblem(known, requestId(response));
  if (known.retryAfterSeconds !== undefined) response.setHeader('Retry-After', String(known.retryAfterSeconds));
  if (problem.status === 401) response.setHeader('WWW-Authenticate', 'Bearer realm="outrigger"');
  response.status(problem.status).type('application/problem+json').send(JSON.stringify(problem));
}

/** Query of every list: `limit` 1–200 (50), `cursor` as the last answer gave it: a UUID. */
export const listQuery = z.object({
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: z
    .string()
    .refine(isUuid, 'must be the next_cursor of the answer before; leave it out to begin at the newest')
    .optional(),
});

/** The answer of a list. */
export const listAnswer = <Item extends z.ZodType>(item: Item) =>
  z.strictObject({
    items: z.array(item),
    next_cursor: z.string().nullable().meta({ description: 'The `cursor` of the next page; null after the last.' }),
  });

/** What a list says as `next_cursor`: the last id of a full page, else null. */
export const nextCursor = (ids: readonly string[], limit: number): string | null =>
  ids.length === limit ? (ids.at(-1) ?? null) : null;

/** Fewer levels than any schema of ours has are enough; more would overflow the stack of whoever walks them. */
const maxDepth = 64;

/** Refuses text that Postgres cannot store, in values and keys alike, and what is nested too deep. Throws `invalid`. */
export function checkText(value: unknown, path: readonly string[] = []): void {
  if (typeof value === 'string') return checkString(value, path);
  if (typeof value !== 'object' || value === null) return;
  if (path.length >= maxDepth)
    throw refused(path.slice(0, 3), `is nested deeper than ${maxDepth} levels`, 'Send it flatter');
  for (const [key, inner] of Object.entries(value)) {
    checkString(key, path);
    checkText(inner, [...path, key]);
  }
}

function checkString(text: string, path: readonly string[]): void {
  if (text.includes('\0')) throw refused(path, 'holds the character U+0000', 'Remove it');
  if (/\p{Surrogate}/u.test(text)) throw refused(path, 'holds half of a surrogate pair', 'Send whole characters');
}

function refused(path: readonly string[], what: string, remedy: string): ServiceError {
  const where = path.join('.') || '(body)';
  return new ServiceError('invalid', 'invalid_request', `The request is not valid: ${where} ${what}. ${remedy}.`, {
    errors: [{ path: where, message: what }],
  });
}

/** What a body parser refused, as the caller's fault; any other error stays what it is. */
export function asBodyFault(error: unknown): unknown {
  const known = asServiceError(error);
  if (known.kind !== 'internal') return known;
  const status = error instanceof Error && 'status' in error ? Number(error.status) : 500;
  if (status < 400 || status >= 500) return error;
  return new ServiceError(
    'invalid',
    'unreadable_body',
    'The body cannot be read as its headers say. Check Content-Encoding, Content-Length and what was sent.',
    { cause: error },
  );
}

export type { RequestHandler };
