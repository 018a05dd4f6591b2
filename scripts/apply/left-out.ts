import { ServiceError } from '../../service/platform/errors.ts';
import { isFields, type Fields } from './manifests.ts';

/** What is left of a manifest, and the paths of what nothing here would heed. */
export interface Known {
  readonly value: Fields;
  readonly leftOut: readonly string[];
}

/**
 * Takes out of a manifest each field that `read` does not know, and names it.
 *
 * Errors  what `read` throws for any other reason.
 */
export function withoutUnknown(value: Fields, read: (value: Fields) => unknown): Known {
  const kept = structuredClone(value) as Record<string, unknown>;
  const leftOut: string[] = [];
  for (;;) {
    try {
      read(kept);
      return { value: kept, leftOut: leftOut.sort() };
    } catch (error) {
      const unknown = error instanceof ServiceError ? unknownIn(error) : [];
      const gone = unknown.filter((path) => remove(kept, path));
      if (gone.length === 0) throw error;
      leftOut.push(...gone.map((path) => path.join('.')));
    }
  }
}

const unknownIn = ({ errors }: ServiceError): readonly (readonly string[])[] =>
  errors.flatMap(({ path, message }) => {
    if (!message.startsWith('Unrecognized key')) return [];
    const parent = path.split('.').filter((part) => part !== '(body)');
    return [...message.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([quoted]) => [...parent, JSON.parse(quoted) as string]);
  });

/** False where there is nothing at that path. */
function remove(value: unknown, [first, ...rest]: readonly string[]): boolean {
  if (first === undefined || typeof value !== 'object' || value === null || !Object.hasOwn(value, first)) return false;
  if (rest.length > 0) return remove((value as Fields)[first], rest);
  if (!isFields(value)) return false;
  return Reflect.deleteProperty(value, first);
}
