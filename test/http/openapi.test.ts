import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { templateOf } from '../../service/platform/openapi.ts';
import { startTestService, type TestService } from '../support/service.ts';

interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly security: readonly object[];
  readonly responses: Readonly<Record<string, { content?: Record<string, { schema: object }> }>>;
}
interface Document {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

let outrigger: TestService;
let document: Document;
beforeAll(async () => {
  outrigger = await startTestService();
  document = (await outrigger.call(null, 'GET', '/openapi.json')).body as Document;
});
afterAll(() => outrigger.stop());

const operations = (): (readonly [string, Operation])[] =>
  Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => [`${method} ${path}`, operation] as const),
  );

describe('the API document', () => {
  it('is answered to everybody, and names each route of the service and no other', () => {
    expect(document.openapi).toBe('3.1.0');
    expect(
      operations()
        .map(([name]) => name)
        .sort(),
    ).toEqual(outrigger.service.routes.map(({ method, path }) => `${method} ${templateOf(path)}`).sort());
  });

  it('gives each operation an id of its own, the refusal as a problem, and says which token it wants', () => {
    const ids = operations().map(([, { operationId }]) => operationId);

    expect(new Set(ids).size).toBe(ids.length);
    for (const [name, { responses, security }] of operations()) {
      expect([name, Object.keys(responses['default']?.content ?? {})]).toEqual([name, ['application/problem+json']]);
      expect([name, security.length]).not.toEqual([name, 0]);
    }
  });

  it('says what each route answers', () => {
    const silent = outrigger.service.routes.filter(({ shape }) => shape === undefined);

    expect(silent.map(({ method, path }) => `${method} ${path}`)).toEqual([]);
  });
});
