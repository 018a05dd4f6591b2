import { readFileSync } from 'node:fs';
import { parse } from 'yaml';

/** One method on one path of the description; `path` is the template, never a filled-in URL. */
export interface DescribedRoute {
  readonly method: string;
  readonly path: string;
  readonly operationId: string;
  /** True for GET and for a POST that only asks (`authcheck`). */
  readonly readsOnly: boolean;
}

interface Operation {
  readonly operationId: string;
  readonly 'x-reads-only'?: boolean;
  readonly responses: Readonly<Record<string, unknown>>;
}

export interface Description {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation | undefined>>>>;
  readonly components: unknown;
}

/** The OpenAPI document that the types were generated from and that answers are checked against. */
export const description = parse(readFileSync(new URL('openapi.yaml', import.meta.url), 'utf8')) as Description;

const methods = ['get', 'post', 'put', 'patch', 'delete'] as const;

/** Every route we may call, in the order of the document. */
export const describedRoutes: readonly DescribedRoute[] = Object.entries(description.paths).flatMap(([path, item]) =>
  methods.flatMap((method) => {
    const operation = item[method];
    if (!operation) return [];
    const readsOnly = method === 'get' || operation['x-reads-only'] === true;
    return [{ method: method.toUpperCase(), path, operationId: operation.operationId, readsOnly }];
  }),
);

/** Whether this call changes nothing in Coder. An unknown route counts as changing something. */
export const readsOnly = (method: string, path: string): boolean =>
  describedRoutes.some((route) => route.method === method && route.path === path && route.readsOnly);
