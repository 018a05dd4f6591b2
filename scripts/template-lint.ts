import { lintTemplate } from '../modules/policy/lint.ts';
import { CommandFailure } from './command-failure.ts';

/** Throws a `CommandFailure` 1 with a line for everything in a synthesized template that Coder would not take. */
export function refuseFaults(name: string, synthesized: Readonly<Record<string, unknown>>): void {
  const faults = lintTemplate(synthesized);
  if (faults.length === 0) return;
  const lines = faults.map(({ address, rule, message }) => `  ${address} (${rule}) ${message}`);
  throw new CommandFailure(
    1,
    `Template ${name} has ${faults.length} ${faults.length === 1 ? 'fault' : 'faults'}:\n${lines.join('\n')}`,
  );
}
