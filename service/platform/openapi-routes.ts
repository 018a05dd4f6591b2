import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import type { Route } from './http.ts';
import { makeApiDocument } from './openapi.ts';

/** Puts the API document beside the routes it describes, itself among them. */
export function withApiDocument(routes: readonly Route[]): readonly Route[] {
  // Made when it is first asked for: a start should not wait for it.
  let text: string | undefined;
  const all: readonly Route[] = [
    ...routes,
    {
      method: 'get',
      path: '/openapi.json',
      guard: 'open',
      summary: 'Describes everything the service answers (OpenAPI 3.1).',
      shape: { answers: { 200: z.record(z.string(), z.unknown()) } },
      handler: (_request, response) => {
        text ??= JSON.stringify(makeApiDocument(all, { version: ourVersion() }));
        response.type('application/json').send(text);
      },
    },
  ];
  return all;
}

const ourVersion = (): string =>
  (JSON.parse(readFileSync(join(import.meta.dirname, '..', '..', 'package.json'), 'utf8')) as { version: string })
    .version;
