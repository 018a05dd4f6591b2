import { z } from 'zod';
import { kataPods } from '../../modules/kubernetes/pod-runtime.ts';
import { standardSizes } from '../../stacks/template-options.ts';
import { CommandFailure } from '../command-failure.ts';

const imagePattern = /^[a-zA-Z0-9][a-zA-Z0-9._:/@-]{0,254}$/;

/** A number that is more than 0 and at most `most`; a refusal names both. */
const size = (unit: string, most: number, least = 0): z.ZodNumber => {
  const sentence = `is ${least === 0 ? 'more than 0' : `at least ${least}`} and at most ${most} (${unit})`;
  const bounded = z.number(sentence).max(most, sentence);
  return least === 0 ? bounded.positive(sentence) : bounded.int(sentence).min(least, sentence);
};

const shape = z.strictObject({
  Image: z.string().regex(imagePattern, 'is the name of an image, such as ubuntu:24.04@sha256:…'),
  CPU: size('cores', standardSizes.mostCpu),
  Memory: size('MB', standardSizes.mostMemoryMb, kataPods.leastMemoryMb),
  Disk: size('GB', standardSizes.mostDiskGb, 1),
});

/** What a Kata template offers before a person changes it: an image, cores, MB of memory and GB of disk. */
export type KataContainerConfig = z.infer<typeof shape>;

/**
 * Checks a configuration. The bounds are those of the template's own variables, above which a default would be cut.
 *
 * Errors  `CommandFailure` 2 naming the field and its bounds.
 */
export function readKataContainerConfig(value: unknown): KataContainerConfig {
  const result = shape.safeParse(value);
  if (result.success) return result.data;
  const faults = result.error.issues.map(({ path, message, code }) =>
    code === 'unrecognized_keys' ? message : `${path.join('.') || 'The configuration'} ${message}`,
  );
  throw new CommandFailure(2, `${faults.join('. ')}. Give others with --image, --cpu, --memory and --disk.`);
}
