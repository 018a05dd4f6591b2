import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import openapiTypescript, { astToString } from 'openapi-typescript';

/**
 * Writes the types of modules/coder-sdk-ts from our description of Coder.
 *
 * Usage  `node --import tsx scripts/generate-coder-types.ts [--check]`; with `--check` nothing is written
 *        and a difference exits 1.
 */
const folder = new URL('../modules/coder-sdk-ts/', import.meta.url);
const target = fileURLToPath(new URL('generated/types.ts', folder));

export async function renderCoderTypes(): Promise<string> {
  const nodes = await openapiTypescript(new URL('openapi.yaml', folder), { silent: true });
  const banner =
    '// Generated from ../openapi.yaml by scripts/generate-coder-types.ts. Do not edit: change the description.\n';
  return `${banner}${astToString(nodes)}`;
}

async function main(): Promise<number> {
  const rendered = await renderCoderTypes();
  if (process.argv.includes('--check')) {
    if (readFileSync(target, 'utf8') === rendered) return 0;
    console.error(
      'modules/coder-sdk-ts/generated/types.ts differs. Run: node --import tsx scripts/generate-coder-types.ts',
    );
    return 1;
  }
  writeFileSync(target, rendered);
  return 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = await main();
