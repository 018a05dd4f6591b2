import { ServiceError } from '../platform/errors.ts';
import { isPriced, type PriceTable } from './prices.ts';

/** Names that mean "the configured one", for harness configuration that should not know which. */
const aliases: readonly string[] = ['outrigger/default', 'outrigger', 'default'];

/** Whether this names no model of its own. */
export const isModelAlias = (name: string | null): boolean => name === null || name === '' || aliases.includes(name);

export interface ModelCatalog {
  /** What may be named, the default first; null when any name is passed on. */
  readonly allowed: readonly string[] | null;
  readonly defaultModel: string;
  /** Stand in for any model whose provider fails, in this order. */
  readonly fallbacks: readonly string[];
  isOffered(model: string, taskMayName?: readonly string[] | null): boolean;
  /**
   * The upstream's name for what was asked; an alias, an empty name or none means the default.
   *
   * Errors   `unprocessable` (422) that lists what may be named.
   */
  resolve(requested: string | null, taskMayName?: readonly string[] | null): string;
}

export interface ModelOptions {
  readonly defaultModel: string;
  /** Null passes any name on. The default model is always allowed. */
  readonly allowedModels: readonly string[] | null;
  readonly fallbackModels?: readonly string[];
  readonly prices: PriceTable;
  /** Lets models without a known price be used; their cost is then unknown to every limit in money. */
  readonly allowUnpriced?: boolean;
}

export function makeModelCatalog(options: ModelOptions): ModelCatalog {
  const { defaultModel, prices, allowUnpriced = false } = options;
  const allowed = options.allowedModels === null ? null : [...new Set([defaultModel, ...options.allowedModels])];
  const refusalOf = (model: string, taskMayName: readonly string[] | null): ServiceError | null => {
    for (const list of [allowed, taskMayName])
      if (list !== null && !list.includes(model)) return notOffered(model, list);
    if (allowUnpriced || isPriced(prices, model)) return null;
    return unpriced(
      model,
      (taskMayName ?? allowed ?? [...prices.models.keys()]).filter((one) => isPriced(prices, one)),
    );
  };
  return {
    allowed,
    defaultModel,
    fallbacks: options.fallbackModels ?? [],
    isOffered: (model, taskMayName = null) => refusalOf(model, taskMayName) === null,
    resolve(requested, taskMayName = null) {
      const model = requested === null || isModelAlias(requested) ? defaultModel : requested;
      const refusal = refusalOf(model, taskMayName);
      if (refusal) throw refusal;
      return model;
    },
  };
}

/**
 * What submitters may name: null is any. Without prices for all, only what has one is offered.
 */
export function offeredModels(options: ModelOptions): readonly string[] | null {
  const { allowedModels, prices, allowUnpriced = false } = options;
  if (allowUnpriced || prices.others !== undefined) return allowedModels;
  return (allowedModels ?? [...prices.models.keys()]).filter((model) => isPriced(prices, model));
}

const notOffered = (model: string, offered: readonly string[]): ServiceError =>
  new ServiceError(
    'unprocessable',
    'model_not_allowed',
    `Model ${model.slice(0, 100)} is not offered here. Choose one of: ${offered.join(', ')}.`,
  );

const unpriced = (model: string, priced: readonly string[]): ServiceError =>
  new ServiceError(
    'unprocessable',
    'model_unpriced',
    `Model ${model.slice(0, 100)} has no known price, so nobody could hold it to a budget. Choose one of: ${priced.join(', ') || 'none'}. An admin of the service gives it a price (model.prices_file) or allows it without (model.allow_unpriced).`,
  );
