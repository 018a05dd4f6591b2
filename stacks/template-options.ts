import type { Defaults } from '../modules/workspace/parameters.ts';

/** What a caller may say about a template before it is rendered. */
export interface TemplateOptions {
  /** What the form offers before a person changes it; the rest stays as it is. */
  readonly defaults?: Partial<Defaults>;
  /**
   * Image that the template offers unless the admin says otherwise, for a copy made for somebody who named it. It need
   * not be pinned. The templates that are shipped name none.
   */
  readonly image?: string;
}

/** Sizes of a workspace: what the form offers (C-36), and its bounds. */
export const standardSizes = {
  defaults: { cpu: 1, memoryMb: 2048, diskGb: 10 },
  leastMemoryMb: 512,
  mostCpu: 8,
  mostMemoryMb: 16_384,
  mostDiskGb: 100,
} as const;
