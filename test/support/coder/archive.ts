import type { JobEnd } from './world.ts';

const blockBytes = 512;

/** The regular files of a ustar archive, by name; anything that is no archive has none. */
export function filesOf(archive: Buffer): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  for (let at = 0; at + blockBytes <= archive.length;) {
    const header = archive.subarray(at, at + blockBytes);
    const name = textAt(header, 0, 100);
    const size = Number.parseInt(textAt(header, 124, 12), 8);
    if (name === '' || !Number.isInteger(size)) break;
    const body = archive.subarray(at + blockBytes, at + blockBytes + size);
    const type = textAt(header, 156, 1);
    if (type === '' || type === '0') files.set(name.replace(/^\.\//, ''), body.toString('utf8'));
    at += blockBytes + Math.ceil(size / blockBytes) * blockBytes;
  }
  return files;
}

const textAt = (bytes: Buffer, start: number, length: number): string =>
  bytes
    .subarray(start, start + length)
    .toString('latin1')
    .replace(/\0.*$/s, '')
    .trim();

const planFailed =
  'template import provision for start: plan during template import provision error: terraform plan: exit status 1';
const initFailed = 'template import init error: initialize terraform: exit status 1';

/**
 * How the import of an archive ends. No Terraform runs here: only what can be told from the text is told.
 *
 * Limits  no `.tf` in the root, unbalanced braces, and a variable without default and value. Everything
 *         else succeeds; the real provisioner is asked where templates are tested.
 */
export function importEnds(files: ReadonlyMap<string, string>, given: readonly string[]): JobEnd {
  const sources = [...files].filter(([name]) => /^[^/]+\.tf(\.json)?$/.test(name)).map(([, text]) => text);
  if (sources.length === 0) return { status: 'failed', error: planFailed };
  const text = sources.join('\n');
  if (count(text, '{') !== count(text, '}')) return { status: 'failed', error: initFailed };
  const missing = requiredVariables(text).filter((name) => !given.includes(name));
  if (missing.length === 0) return { status: 'succeeded' };
  return {
    status: 'failed',
    error: `update job: required template variables need values: ${missing.join(', ')}`,
    errorCode: 'REQUIRED_TEMPLATE_VARIABLES',
  };
}

const count = (text: string, character: string): number => text.split(character).length - 1;

/** Variables without a default. */
const requiredVariables = (text: string): readonly string[] =>
  variableBlocks(text).flatMap(([name, body]) => (/(^|[\s{])default\s*=/m.test(body) ? [] : [name]));

/** Variables whose values nobody may read. */
export const sensitiveVariables = (files: ReadonlyMap<string, string>): readonly string[] =>
  [...files.values()]
    .flatMap(variableBlocks)
    .flatMap(([name, body]) => (/(^|[\s{])sensitive\s*=\s*true/m.test(body) ? [name] : []));

/** Names and bodies of blocks on one line, or up to the brace in the first column. */
const variableBlocks = (text: string): readonly (readonly [name: string, body: string])[] =>
  [...text.matchAll(/^variable\s+"([^"]+)"\s*\{([^\n]*\}$|.*?^\})/gms)].map(([, name = '', body = '']) => [name, body]);
