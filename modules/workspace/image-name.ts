import { digestPattern } from '../contract.ts';

/** Tag and digest, as a pattern of Terraform's `replace`. */
const pin = `/(:[^/:@]+)?${digestPattern}$/`;

/**
 * What an image is called in the form: without tag and digest, as an HCL expression.
 *
 * A workspace keeps what was chosen. Were that a digest, every push of newer images would leave it with a choice that is
 * no longer offered, and Coder would refuse to build it.
 */
export function imageName(hcl: string): string {
  return `replace(${hcl}, "${pin}", "")`;
}
