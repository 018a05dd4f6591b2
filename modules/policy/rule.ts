import type { Declared } from './template.ts';

/** Says what is wrong with one declaration and what to do, or nothing when it is right. */
export interface Rule {
  readonly id: string;
  readonly check: (declared: Declared, whole: Whole) => string | undefined;
}

/** What a rule may have to know beside the one declaration. */
export interface Whole extends Exceptions {
  /** Every declaration of the template. */
  readonly all: readonly Declared[];
}

/** What one template may do that others may not. */
export interface Exceptions {
  /** The image that a default may name: whoever asked for this copy of a template gave it. */
  readonly givenImage?: string;
}
