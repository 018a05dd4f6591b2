import { readFileSync, readdirSync } from 'node:fs';

/** One request and the answer a real Coder 2.36.0 gave. */
export interface Recording {
  /** File name without `.json`; begins with its number. */
  readonly name: string;
  readonly number: string;
  readonly request: {
    readonly method: string;
    readonly path: string;
    readonly headers: Readonly<Record<string, string>>;
    readonly body?: unknown;
  };
  readonly response: {
    readonly status: number;
    readonly headers: Readonly<Record<string, unknown>>;
    readonly body?: unknown;
  };
}

const folder = new URL('../../../fixtures/coder/2.36.0/', import.meta.url);

/** The recordings of routes in our description, in the order they were made. */
export const recordings: readonly Recording[] = readdirSync(folder)
  .filter((file) => file.endsWith('.json'))
  .sort()
  .map((file) => ({
    ...(JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as Pick<Recording, 'request' | 'response'>),
    name: file.replace(/\.json$/, ''),
    number: file.slice(0, 3),
  }));

/** Every request that was ever recorded, also those whose answers are not here: method and path with `{uuid}`. */
export const recordedRequests: readonly { readonly method: string; readonly path: string }[] = readFileSync(
  new URL('INDEX.tsv', folder),
  'utf8',
)
  .trim()
  .split('\n')
  .slice(1)
  .map((line) => {
    const [, method = '', path = ''] = line.split('\t');
    return { method, path: cleanPath(path) };
  });

/** Without query, doubled slashes and a slash at the end, as Coder's router sees it. */
export function cleanPath(path: string): string {
  const [bare = ''] = path.split('?');
  return bare.replaceAll(/\/{2,}/g, '/').replace(/(.)\/$/, '$1');
}

/** True where somebody shortened the answer, so that keys are missing. */
export const isCut = (recording: Recording): boolean =>
  JSON.stringify(recording.response.body ?? null).includes('"$cut":true');
