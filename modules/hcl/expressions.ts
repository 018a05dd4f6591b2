import { ref, type IResolvable } from 'cdktf';
import { escapeTemplate } from './template-string.ts';

/**
 * A Terraform expression written by hand, for arguments and inside `Fn` and `Op`.
 *
 * A plain `"${…}"` string would be escaped there.
 */
export function expression(hcl: string): IResolvable {
  return ref(hcl);
}

/** The same expression as a whole string argument: an attribute that is exactly one `${…}`. */
export function interpolation(hcl: string): string {
  return `\${${hcl}}`;
}

/** Text that Terraform must not read as a template: shell scripts with `${HOME}`, for instance. */
export const literal = escapeTemplate;
