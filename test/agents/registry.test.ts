import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { fillPrompt, type Action } from '../../service/agents/action.ts';
import { catalogue } from '../../service/agents/actions.ts';
import { makeRegistry } from '../../service/agents/registry.ts';
import { ServiceError } from '../../service/platform/errors.ts';

const refusal = (work: () => unknown): ServiceError => {
  try {
    work();
  } catch (error) {
    if (error instanceof ServiceError) return error;
  }
  throw new Error('nothing was refused');
};

describe('the catalogue', () => {
  const everything = Object.entries(catalogue).flatMap(([agent, actions]) =>
    actions.map((action) => ({ agent, ...action })),
  );

  it('S-12 S-40 has generate_code, generate_api, generate_ui and apply_manifest with prompts of their own', () => {
    const prompts = ['generate_code', 'generate_api', 'generate_ui', 'apply_manifest'].map(
      (name) => everything.find((one) => one.name === name)?.prompt ?? '',
    );

    expect(new Set(prompts).size).toBe(4);
    expect(prompts.every((prompt) => prompt.length > 20)).toBe(true);
  });

  it('never gives one action to two agents, so that an action alone names its agent', () => {
    expect(new Set(everything.map(({ name }) => name)).size).toBe(everything.length);
  });

  it('leaves no mark and no double space in a prompt, whatever is given', () => {
    const value = fc.string({ unit: 'grapheme-ascii', maxLength: 20 }).filter((text) => !/[{}]| {2}|^ | $/.test(text));
    const given = fc.dictionary(fc.constantFrom('language', 'file_path', 'other'), value);

    fc.assert(
      fc.property(fc.constantFrom(...everything), given, ({ prompt }, values) => {
        const text = fillPrompt(prompt, values);

        expect(text).not.toMatch(/\{\{|\}\}|  /);
        if (prompt.includes('{{language}}')) expect(text).toContain(values['language'] ?? '');
      }),
    );
  });
});

describe('S-39 the registry', () => {
  it('knows opencode, agentzero and kubernetes by these names', () => {
    const names = makeRegistry().agents.map((one) => one.name());

    expect(names).toEqual(expect.arrayContaining(['opencode', 'agentzero', 'kubernetes']));
  });
});

describe('routing by supports', () => {
  const name = fc.stringMatching(/^[a-z]{1,6}$/);
  /** Agents whose actions are all different. */
  const agents = fc
    .uniqueArray(fc.tuple(name, fc.uniqueArray(name, { maxLength: 4 })), { selector: ([agent]) => agent, minLength: 1 })
    .map((list) => {
      const taken = new Set<string>();
      return list.map(([agent, actions]) => {
        const own = actions.filter((one) => !taken.has(one) && taken.add(one));
        return [agent, own.map((one): Action => ({ name: one, summary: one, prompt: one }))] as const;
      });
    });

  it('finds the one agent that supports a task, and lists all of them where none does', () => {
    fc.assert(
      fc.property(agents, name, fc.option(name, { nil: undefined }), (list, action, type) => {
        const registry = makeRegistry(Object.fromEntries(list));
        const able = list.filter(
          ([agent, actions]) => actions.some((one) => one.name === action) && (type === undefined || type === agent),
        );
        if (able.length > 0) {
          expect(registry.route({ type, action }).name()).toBe(able[0]?.[0]);
          return;
        }
        const { kind, code, errors } = refusal(() => registry.route({ type, action }));
        expect([kind, code]).toEqual(['unprocessable', 'no_agent_supports']);
        expect(new Set(errors.map(({ path }) => path))).toEqual(new Set(list.map(([agent]) => agent)));
      }),
    );
  });

  it('names agents and actions in the refusal', () => {
    const { message } = refusal(() => makeRegistry().route({ action: 'fly' }));

    expect(message).toMatch(/opencode \(generate_code, .*\); agentzero \(run_workflow\)/);
  });
});
