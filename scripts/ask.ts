import { z } from 'zod';
import { notOurs, type ServiceCall } from './service-client.ts';
import { reach, type ServiceFlags, type Surroundings } from './template-context.ts';

/** Asks the service as the person, and reads the answer as `shape` says. Throws a `CommandFailure`. */
export async function ask<Shape extends z.ZodType>(
  flags: ServiceFlags,
  around: Surroundings,
  shape: Shape,
  ...request: Parameters<ServiceCall>
): Promise<z.output<Shape>> {
  const { call, url } = reach(flags, around.config);
  const found = shape.safeParse(await call(...request));
  if (!found.success) throw notOurs(url);
  return found.data;
}

/** The shape of a list. */
export const listOf = <Item extends z.ZodType>(item: Item) => z.object({ items: z.array(item) });
