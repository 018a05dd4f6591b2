import { ServiceError } from '../platform/errors.ts';

/** Names that mean "the configured one", for harness configuration that should not know which. */
const aliases: readonly string[] = ['outrigger/default', 'outrigger', 'default'];

/** Whether this names no model of its own. */
export const isModelAlias = (name: string | null): boolean => name === null || name === '' || aliases.includes(name);

export interface ModelCatalog {
  /** What may be named, the default first; null when any name is passed on. */
  readonly allowed: readonly string[] | null;
  readonly defaultModel: string;
  /**
   * The upstream's name for what was asked; an alias, an empty name or none means the default.
   *
   * Errors   `unprocessable` (422) that lists what may be named.
   */
  resolve(requested: string | null, taskMayName?: readonly string[] | null): string;
}

export function makeModelCatalog(options: {
  readonly defaultModel: string;
  readonly allowedModels: readonly string[] | null;
}): ModelCatalog {
  const { defaultModel } = options;
  const allowed = options.allowedModels === null ? null : [...new Set([defaultModel, ...options.allowedModels])];
  return {
    allowed,
    defaultModel,
    resolve(requested, taskMayName = null) {
      const model = requested === null || isModelAlias(requested) ? defaultModel : requested;
      for (const list of [allowed, taskMayName])
        if (list !== null && !list.includes(model)) throw notOffered(model, list);
      return model;
    },
  };
}

const notOffered = (model: string, offered: readonly string[]): ServiceError =>
  new ServiceError(
    'unprocessable',
    'model_not_allowed',
    `Model ${model.slice(0, 100)} is not offered here. Choose one of: ${offered.join(', ')}.`,
  );
