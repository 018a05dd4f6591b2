import { describe, expect, it } from '@jest/globals';
import { refuseUnsafe } from '../../../modules/policy/refuse-unsafe.ts';
import { synthesizeTemplate } from '../../../scripts/template.ts';
import { templates } from '../../../stacks/templates.ts';
import { absent, bodiesAt, hardening, whereSet, type Body, type Table } from './mutations.ts';

interface Outcome {
  readonly tried: string[];
  readonly passed: string[];
}

const isRefused = (template: Body): boolean => {
  try {
    refuseUnsafe(template, new Map());
    return false;
  } catch {
    return true;
  }
};

/** Spoils every occurrence of every field of a table, one at a time, and puts it back. */
function spoil(template: Body, table: Table, onlyWhereSet: boolean): Outcome {
  const outcome: Outcome = { tried: [], passed: [] };
  for (const [type, fields] of Object.entries(table)) {
    const resources = Object.entries(((template.resource as Body)[type] ?? {}) as Record<string, Body>);
    for (const [name, resource] of resources) {
      for (const [path, values] of Object.entries(fields)) {
        const names = path.split('.');
        const key = names.pop() ?? '';
        bodiesAt(resource, names).forEach((body, index) => {
          for (const value of values) {
            if (!(key in body) && (value === absent || onlyWhereSet)) continue;
            tryOne(
              template,
              body,
              key,
              value,
              `${type}.${name} ${path} #${String(index)} = ${describeValue(value)}`,
              outcome,
            );
          }
        });
      }
    }
  }
  return outcome;
}

function tryOne(
  template: Body,
  body: Body,
  key: string,
  value: unknown,
  name: string,
  { tried, passed }: Outcome,
): void {
  const had = key in body;
  const before = body[key];
  if (value === absent) delete body[key];
  else body[key] = value;
  tried.push(name);
  if (!isRefused(template)) passed.push(name);
  if (had) body[key] = before;
  else delete body[key];
}

const describeValue = (value: unknown): string => (value === absent ? 'absent' : JSON.stringify(value));

/** Fields that are right as they are and that no rule guards, with the reason. */
const unguarded: Readonly<Record<string, string>> = {
  run_as_group: 'group 0 is what images for arbitrary user ids are made for, and gives nothing more',
};

describe.each(templates.map((entry) => [entry.name, entry] as const))('the template %s', (name, entry) => {
  const template = structuredClone(synthesizeTemplate(entry)) as Body;
  const resources = template.resource as Record<string, Record<string, Body>>;

  it('is safe as it is', () => {
    expect(isRefused(template)).toBe(false);
  });

  it('cannot lose any part of its hardening unnoticed', () => {
    const { tried, passed } = spoil(template, hardening, false);

    expect(tried.length).toBeGreaterThan(100);
    expect(passed).toEqual([]);
  });

  it('cannot make writable what it made read-only', () => {
    const { tried, passed } = spoil(template, whereSet, true);
    const ofWorker = (line: string) => line.includes('read_only_root_filesystem #0');

    expect(tried.length).toBeGreaterThan(5);
    expect(passed.filter((line) => !ofWorker(line))).toEqual([]);
  });

  it('has no field of a security context that nothing guards', () => {
    const spec = ['spec', 'template', 'spec'];
    const places = [[], ['container'], ['init_container']].map((place) => [...spec, ...place, 'security_context']);
    const given = Object.values(resources.kubernetes_deployment_v1 ?? {}).flatMap((body) =>
      places.flatMap((place) =>
        bodiesAt(body, place).flatMap((one) => Object.keys(one).map((key) => [place, key] as const)),
      ),
    );
    const guarded = { ...hardening.kubernetes_deployment_v1, ...whereSet.kubernetes_deployment_v1 };

    expect(given.length > 0).toBe(name !== 'docker');
    expect(
      given.filter(([place, key]) => guarded[[...place, key].join('.')] === undefined && unguarded[key] === undefined),
    ).toEqual([]);
  });

  it('cannot give its secret, its images or its bounds away', () => {
    const variables = template.variable as Record<string, Body>;
    const spoiled: readonly (readonly [holder: Body, key: string, value: unknown])[] = [
      [variables.outrigger_secret as Body, 'sensitive', absent],
      [variables.outrigger_secret as Body, 'default', 'x'],
      [variables.opencode_image as Body, 'validation', absent],
      [variables.executor_images as Body, 'validation', absent],
      [variables.executor_images as Body, 'default', ['debian:latest']],
      [template.locals as Body, 'executor_image', 'debian:latest'],
    ];
    const outcome: Outcome = { tried: [], passed: [] };

    for (const [holder, key, value] of spoiled) tryOne(template, holder, key, value, key, outcome);
    if (name !== 'kata') tryOne(template, variables.max_profile as Body, 'default', 'trusted', 'max_profile', outcome);

    expect(outcome.passed).toEqual([]);
  });
});

describe('the template kata', () => {
  it('cannot claim its isolation without asking for it and proving it (part of D15)', () => {
    const entry = templates.find(({ name }) => name === 'kata');
    const template = structuredClone(synthesizeTemplate(entry as NonNullable<typeof entry>)) as Body;
    const deployment = (template.resource as Record<string, Record<string, Body>>).kubernetes_deployment_v1?.workspace;
    const [pod] = bodiesAt(deployment as Body, ['spec', 'template', 'spec']);
    const [, agent] = bodiesAt(deployment as Body, ['spec', 'template', 'spec', 'container']);
    const outcome: Outcome = { tried: [], passed: [] };

    tryOne(template, pod as Body, 'runtime_class_name', absent, 'class', outcome);
    tryOne(template, pod as Body, 'runtime_class_name', '${var.runtime_class == "" ? null : "x"}', 'maybe', outcome);
    tryOne(
      template,
      agent as Body,
      'command',
      ['/tools/enter', '/tools/opencode', '/tools/bridge.js'],
      'proof',
      outcome,
    );

    expect(outcome).toEqual({ tried: ['class', 'maybe', 'proof'], passed: [] });
  });
});
