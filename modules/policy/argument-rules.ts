import { dataTypes, providerArguments, resourceArguments, type Arguments, type Block } from './allowed-arguments.ts';
import type { Rule } from './rule.ts';
import type { Body, Declared } from './template.ts';

/** What a template may declare at all. */
export const argumentRules: readonly Rule[] = [
  {
    id: 'arguments',
    check: (declared) => {
      const allowed = argumentsFor(declared);
      const wrong = allowed === undefined ? [] : strange(declared.body, allowed, '');
      return wrong.length === 0
        ? undefined
        : `gives what the policy has no rules for: ${wrong.join(', ')}. Remove it, or allow it in modules/policy/allowed-arguments.ts with rules for it.`;
    },
  },
  {
    id: 'judged-data',
    check: ({ kind, type }) =>
      kind !== 'data' || dataTypes.has(type)
        ? undefined
        : `reads ${type}, which can hand out what is not the workspace's. Use the data sources of Coder.`,
  },
  {
    id: 'judged-provider',
    check: ({ kind, name }) =>
      kind !== 'provider' || Object.hasOwn(providerArguments, name)
        ? undefined
        : `is a provider that the policy knows nothing of. Use ${Object.keys(providerArguments).join(', ')}.`,
  },
];

function argumentsFor({ kind, type, name }: Declared): Arguments | undefined {
  if (kind === 'resource') return resourceArguments[type];
  return kind === 'provider' && Object.hasOwn(providerArguments, name) ? providerArguments[name] : undefined;
}

/** Paths of what is not allowed, such as `mounts.volume_options.driver_config` or `dynamic capabilities`. */
function strange(body: unknown, allowed: Arguments, path: string): readonly string[] {
  if (!isBody(body)) return [`${path}(not written out)`];
  return Object.entries(body).flatMap(([name, value]) => {
    if (name === '//' || value === undefined || value === null) return [];
    const here = `${path}${name}`;
    if (name === 'dynamic') return strangeDynamic(value, allowed, path);
    const kind = Object.hasOwn(allowed, name) ? allowed[name] : undefined;
    if (kind === undefined) return [here];
    if (kind === 'any') return [];
    if (kind === 'list') return Array.isArray(value) ? [] : [`${here} (not written out)`];
    if (kind === 'map') return isBody(value) ? [] : [`${here} (not written out)`];
    return inBlocks(value, kind, here);
  });
}

function strangeDynamic(value: unknown, allowed: Arguments, path: string): readonly string[] {
  if (!isBody(value)) return [`${path}dynamic`];
  return Object.entries(value).flatMap(([name, made]) => {
    const kind = Object.hasOwn(allowed, name) ? allowed[name] : undefined;
    if (typeof kind !== 'object' || !kind.mayBeDynamic) return [`${path}dynamic ${name}`];
    return listed(made).flatMap((one) =>
      isBody(one) ? inBlocks(one.content, kind, `${path}${name}`) : [`${path}dynamic ${name}`],
    );
  });
}

function inBlocks(value: unknown, { inside }: Block, path: string): readonly string[] {
  return listed(value).flatMap((one) => strange(one, inside, `${path}.`));
}

function listed(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [value];
}

function isBody(value: unknown): value is Body {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
