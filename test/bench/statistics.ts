/** The value below which `share` (0–1) of the values lie, by the nearest rank; NaN for no values. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? NaN;
}

export const median = (values: readonly number[]): number => percentile(values, 0.5);

/** Milliseconds with one decimal below 100. */
export const milliseconds = (value: number): string => `${value.toFixed(value < 100 ? 1 : 0)} ms`;

export const seconds = (valueMs: number): string => `${(valueMs / 1_000).toFixed(2)} s`;

export const mebibytes = (bytes: number): string => `${(bytes / 1_048_576).toFixed(0)} MiB`;

export const corePercent = (share: number): string => `${(share * 100).toFixed(1)} % of a core`;

export const p50p99 = (values: readonly number[]): string =>
  `${milliseconds(median(values))} · ${milliseconds(percentile(values, 0.99))}`;
