import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { ServiceError } from '../platform/errors.ts';
import { costMicroUsdAtMost, type Tokens } from './usage.ts';

const amount = z.number().int().nonnegative();
const price = z.strictObject({ input: amount, cached: amount, output: amount, reasoning: amount });
const priceFile = z.strictObject({
  taken: z.iso.date(),
  unit: z.literal('micro-USD per million tokens'),
  note: z.string().optional(),
  models: z.record(z.string().min(1), price),
});

/** Micro-USD per million tokens of each kind. */
export type Price = z.output<typeof price>;

export interface PriceTable {
  /** Day on which the prices of the house were taken, `YYYY-MM-DD`. */
  readonly taken: string;
  readonly models: ReadonlyMap<string, Price>;
  /** Of every model that is not listed; left out, such a model has no known price. */
  readonly others?: Price;
}

/** Of a model that runs on one's own machines: nobody sends a bill for its tokens. */
export const freeOfCharge: Price = { input: 0, cached: 0, output: 0, reasoning: 0 };

export const isPriced = (prices: PriceTable, model: string): boolean =>
  prices.models.has(model) || prices.others !== undefined;

const ownFile = new URL('./prices.json', import.meta.url);

/**
 * The prices of the house, with those of an admin's file of the same form laid over them.
 *
 * Errors   `invalid` that names the file and every fault in it.
 */
export function loadPrices(overridePath?: string): PriceTable {
  const own = readPriceFile(ownFile);
  const over = overridePath === undefined ? undefined : readPriceFile(overridePath);
  return {
    taken: over?.taken ?? own.taken,
    models: new Map([...Object.entries(own.models), ...Object.entries(over?.models ?? {})]),
  };
}

function readPriceFile(file: string | URL): z.output<typeof priceFile> {
  const unreadable = (why: string, cause?: unknown): ServiceError =>
    new ServiceError('invalid', 'price_file_invalid', `The price file ${String(file)} cannot be used: ${why}.`, {
      cause,
    });
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw unreadable(error instanceof SyntaxError ? 'it is not valid JSON' : 'it cannot be read', error);
  }
  const result = priceFile.safeParse(value);
  if (result.success) return result.data;
  throw unreadable(
    result.error.issues.map((issue) => `${issue.path.join('.') || '(file)'}: ${issue.message}`).join('; '),
  );
}

/** Cost in integer micro-USD, rounded to the nearest; null when the model has no known price, or none that can be right. */
export function costOf(prices: PriceTable, model: string, tokens: Tokens): number | null {
  const known = prices.models.get(model) ?? prices.others;
  if (known === undefined) return null;
  const sum =
    tokens.input * known.input +
    tokens.cached * known.cached +
    tokens.output * known.output +
    tokens.reasoning * known.reasoning;
  const cost = Math.round(sum / 1_000_000);
  return cost <= costMicroUsdAtMost ? cost : null;
}
