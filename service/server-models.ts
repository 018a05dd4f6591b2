import type { Config } from './config.ts';
import type { GatewayOptions } from './gateway/gateway.ts';
import { offeredModels } from './gateway/models.ts';
import { freeOfCharge, loadPrices } from './gateway/prices.ts';

type ModelSettings = Pick<
  GatewayOptions,
  | 'upstream'
  | 'defaultModel'
  | 'allowedModels'
  | 'fallbackModels'
  | 'prices'
  | 'allowUnpriced'
  | 'maxTokens'
  | 'temperature'
  | 'brakes'
>;

/** Longest silence of a provider. */
const silenceMs = 300_000;

/** What the configuration says of models, for the gateway; `offered` is what submitters may name, null for any. */
export function modelSettings({ model }: Config): ModelSettings & { readonly offered: readonly string[] | null } {
  const prices = loadPrices(model.pricesFile);
  const settings = {
    upstream: {
      url: model.upstreamUrl,
      apiKey: model.apiKey ?? null,
      timeoutMs: silenceMs,
      isLocalOnly: model.isLocalOnly,
    },
    defaultModel: model.default ?? 'openrouter/auto',
    allowedModels: model.allowed.length > 0 ? model.allowed : null,
    fallbackModels: model.fallbacks,
    prices: model.isLocalOnly ? { ...prices, others: freeOfCharge } : prices,
    allowUnpriced: model.allowUnpriced,
    maxTokens: model.maxTokens ?? null,
    temperature: model.temperature ?? null,
    brakes: model.brakes,
  };
  return { ...settings, offered: offeredModels(settings) };
}
