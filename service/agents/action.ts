import type { z } from 'zod';
import type { LeaseCommand } from '../../modules/contract.ts';

/** One thing an agent can be asked to do. */
export interface Action {
  readonly name: string;
  /** One line for people who choose. */
  readonly summary: string;
  /** What the agent is told where the caller writes no prompt; `{{…}}` marks come from the task's payload. */
  readonly prompt: string;
  /** What it must be given besides; without it the agent takes a prompt only. */
  readonly params?: z.ZodType;
  /** It changes something outside the workspace, for which nobody is asked: profile `trusted` only. */
  readonly changes?: true;
  /** What the bridge runs for it, with its params, where no model is asked. */
  readonly command?: (params: unknown) => LeaseCommand;
}

/** Fills `{{key}}` from `values`; what is not given becomes an empty string. */
export const fillPrompt = (template: string, values: Readonly<Record<string, string>>): string =>
  template
    .replace(/\{\{(\w+)\}\}/g, (_whole, key: string) => values[key] ?? '')
    .replace(/ {2,}/g, ' ')
    .trim();
