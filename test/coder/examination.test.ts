import { describe, expect, it } from '@jest/globals';
import { describedRoutes, faultOf } from 'coder-sdk-ts';
import { readFileSync } from 'node:fs';
import { arrangements, ignoredPaths, notSimulatedCases } from '../support/coder/examination/arrangements.ts';
import { startRecordedWorld } from '../support/coder/examination/recorded-world.ts';
import {
  cleanPath,
  isCut,
  recordedRequests,
  recordings,
  type Recording,
} from '../support/coder/examination/recordings.ts';
import { replay, type Replayed } from '../support/coder/examination/replay.ts';
import { shapeFaults } from '../support/coder/examination/shape.ts';
import { simulatedRoutes } from '../support/coder/http-server.ts';

const patternOf = (path: string): RegExp => new RegExp(`^${path.replaceAll(/\{\w+\}/g, '[^/]+')}$`);
const patterns = describedRoutes.map((route) => ({ ...route, pattern: patternOf(route.path) }));
const describedRouteOf = (method: string, path: string) =>
  patterns.find((route) => route.method === method && route.pattern.test(cleanPath(path)));

async function examine(recording: Recording): Promise<Replayed> {
  const world = await startRecordedWorld();
  try {
    await arrangements[recording.number]?.(world, async (number) => {
      const earlier = recordings.find((one) => one.number === number);
      if (!earlier) throw new Error(`Recording ${number} is missing.`);
      return replay(world, earlier);
    });
    return await replay(world, recording);
  } finally {
    await world.coder.close();
  }
}

/** Texts without what differs from deployment to deployment. */
const comparable = (body: unknown): unknown =>
  JSON.parse(
    JSON.stringify(body ?? null).replaceAll(/\d{4}-\d\d-\d\d[T ][\d:.]+( \+0000 UTC|Z)?/g, '<time>'),
  ) as unknown;

describe('the simulated Coder answers the recorded requests as Coder 2.36.0 did (part of D21)', () => {
  const examined = recordings.filter((recording) => !(recording.name in notSimulatedCases));

  it.each(examined.map((recording) => [recording.name, recording] as const))('%s', async (_name, recording) => {
    const given = await examine(recording);

    expect(given.status).toBe(recording.response.status);
    expect(given.headers['content-type']).toBe(recording.response.headers['content-type']);
    expect(given.headers['retry-after']).toBe(recording.response.headers['retry-after']);
    expect(shapeFaults(recording.response.body, given.body, ignoredPaths)).toEqual([]);
    if (given.status >= 400) expect(comparable(given.body)).toEqual(comparable(recording.response.body));
  });

  it('answers what it does not simulate differently, so that the list of exceptions cannot grow old', async () => {
    for (const recording of recordings.filter((one) => one.name in notSimulatedCases)) {
      const given = await examine(recording);
      const faults = shapeFaults(recording.response.body, given.body, ignoredPaths);
      expect([recording.name, given.status === recording.response.status && faults.length === 0]).toEqual([
        recording.name,
        false,
      ]);
    }
    expect(Object.keys(notSimulatedCases).filter((name) => !recordings.some((one) => one.name === name))).toEqual([]);
  });
});

describe('what is simulated and what is not is written down (part of D21)', () => {
  const nameOf = (route: { method: string; path: string }): string => `${route.method} ${route.path}`;

  it('simulates every route of our description, and no other', () => {
    const simulated = ['GET /api/v2/buildinfo', ...simulatedRoutes.map(nameOf)];

    expect(simulated.toSorted()).toEqual(describedRoutes.map(nameOf).toSorted());
  });

  it('lists the recorded requests whose routes are not simulated', () => {
    const missing = new Set(recordedRequests.filter(({ method, path }) => !describedRouteOf(method, path)).map(nameOf));
    const listed = readFileSync(new URL('../fixtures/coder/not-simulated.txt', import.meta.url), 'utf8');

    expect([...missing].toSorted().join('\n')).toBe(listed.trim());
  });
});

describe('K-02 our description of Coder', () => {
  const described = recordings.flatMap((recording) => {
    const { status, body } = recording.response;
    const route = describedRouteOf(recording.request.method, recording.request.path);
    return route && status < 300 && !isCut(recording) ? [{ recording, route, status, body }] : [];
  });

  it('fits every recorded success of its routes', () => {
    const faults = described.map(({ recording, route, status, body }) => [
      recording.name,
      faultOf(route.method, route.path, status, body),
    ]);

    expect(faults.filter(([, fault]) => fault !== null)).toEqual([]);
    expect(new Set(described.map(({ route }) => route.operationId)).size).toBe(describedRoutes.length);
  });

  it('fits every refusal as a message', () => {
    const refusals = recordings.filter(
      ({ response }) => response.status >= 400 && String(response.headers['content-type']).includes('json'),
    );

    expect(refusals.length).toBeGreaterThan(80);
    expect(
      refusals.filter(({ response }) => typeof (response.body as { message?: unknown }).message !== 'string'),
    ).toEqual([]);
  });
});
