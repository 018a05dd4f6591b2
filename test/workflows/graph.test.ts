import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { ServiceError } from '../../service/platform/errors.ts';
import { ancestors, checkGraph, fillOutputs, stepsUsed, type GraphStep } from '../../service/workflows/graph.ts';

const facts = (output: string) => ({ output, branch: 'agent/b', commit: 'c0', message: 'm' });
const step = (id: string, ...dependsOn: string[]): GraphStep => ({ id, dependsOn });

function faultOf(steps: readonly GraphStep[]): { kind: string; code: string; message: string } | null {
  try {
    checkGraph(steps);
    return null;
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    return { kind: error.kind, code: error.code, message: error.message };
  }
}

describe('S-13 S-25 the graph of a workflow', () => {
  it('accepts the Full Stack Feature: backend, frontend after it, deploy after both', () => {
    expect(faultOf([step('backend'), step('frontend', 'backend'), step('deploy', 'backend', 'frontend')])).toBeNull();
  });

  it('refuses a cycle and names it as a path', () => {
    const fault = faultOf([step('a', 'c'), step('b', 'a'), step('c', 'b'), step('free')]);

    expect(fault).toMatchObject({ kind: 'invalid', code: 'workflow_has_cycle' });
    expect(fault?.message).toContain('a → c → b → a');
  });

  it('refuses a step that depends on itself', () => {
    expect(faultOf([step('a', 'a')])?.message).toContain('a → a');
  });

  it('refuses two steps of one id', () => {
    expect(faultOf([step('a'), step('b'), step('a')])).toMatchObject({ code: 'step_duplicate' });
  });

  it('refuses an unknown dependency and lists the steps there are', () => {
    const fault = faultOf([step('a'), step('b', 'missing')]);

    expect(fault).toMatchObject({ code: 'dependency_unknown' });
    expect(fault?.message).toContain("'missing'");
    expect(fault?.message).toContain('a, b');
  });

  it('finds a cycle exactly when there is one, in any graph', () => {
    const graphs = fc
      .integer({ min: 1, max: 9 })
      .chain((size) =>
        fc.array(fc.array(fc.nat({ max: size - 1 }), { maxLength: 3 }), { minLength: size, maxLength: size }),
      );

    fc.assert(
      fc.property(graphs, (edges) => {
        const steps = edges.map((needed, index) => step(`s${index}`, ...needed.map((one) => `s${one}`)));

        expect(faultOf(steps) !== null).toBe(!canBeOrdered(steps));
      }),
    );
  });

  it('names a path that really is a cycle', () => {
    const ring = fc.integer({ min: 1, max: 8 });

    fc.assert(
      fc.property(ring, (size) => {
        const steps = Array.from({ length: size }, (_one, index) => step(`s${index}`, `s${(index + 1) % size}`));
        const path = /Steps (.*?) depend/.exec(faultOf(steps)?.message ?? '')?.[1]?.split(' → ') ?? [];

        expect(path).toHaveLength(size + 1);
        expect(path[0]).toBe(path.at(-1));
      }),
    );
  });
});

describe('S-13 S-45 outputs of earlier steps', () => {
  it('puts them where a prompt asks for them', () => {
    const prompt = 'Use {{steps.backend.output}} and {{ steps.frontend.output }}.';

    expect(stepsUsed(prompt)).toEqual(['backend', 'frontend']);
    expect(fillOutputs(prompt, new Map([['backend', facts('B $& $1')]]), 1_000)).toBe('Use B $& $1 and .');
  });

  it('never lets outputs blow a prompt up beyond its limit', () => {
    const prompt = '{{steps.a.output}}'.repeat(2_000);
    const filled = fillOutputs(prompt, new Map([['a', facts('ä'.repeat(32_768))]]), 262_144);

    expect(Buffer.byteLength(filled)).toBeLessThanOrEqual(262_144);
    expect(filled).toContain('[cut]');
    expect(filled).not.toContain('\uFFFD');
  });

  it('knows every step that comes before one, also through others', () => {
    const steps = [step('a'), step('b', 'a'), step('c', 'b'), step('d')];

    expect([...ancestors(steps, 'c')].sort()).toEqual(['a', 'b']);
  });
});

/** Kahn's algorithm: an independent way to tell whether an order exists. */
function canBeOrdered(steps: readonly GraphStep[]): boolean {
  const open = new Map(steps.map((one) => [one.id, new Set(one.dependsOn)]));
  for (;;) {
    const free = [...open].filter(([, needed]) => [...needed].every((id) => !open.has(id)));
    if (free.length === 0) return open.size === 0;
    for (const [id] of free) open.delete(id);
  }
}
