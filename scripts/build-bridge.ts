import { randomUUID } from 'node:crypto';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = resolve(import.meta.dirname, '..');

/** Bundles the bridge into one ES module that OpenCode's own runtime can run; answers where it is. */
export async function buildBridge(outFile: string = resolve(root, 'dist/bridge.js')): Promise<string> {
  return await bundle('modules/opencode/bridge/entry.ts', outFile);
}

/** The same for the worker's helper. */
export async function buildHelper(outFile: string = resolve(root, 'dist/helper.js')): Promise<string> {
  return await bundle('modules/workspace/helper/entry.ts', outFile);
}

/** The same for the proxy of a workspace. */
export async function buildEgress(outFile: string = resolve(root, 'dist/egress.js')): Promise<string> {
  return await bundle('modules/egress/entry.ts', outFile);
}

async function bundle(entry: string, outFile: string): Promise<string> {
  const result = await build({
    entryPoints: [resolve(root, entry)],
    absWorkingDir: root,
    bundle: true,
    platform: 'node',
    target: 'es2022',
    format: 'esm',
    external: ['bun:*'],
    legalComments: 'none',
    write: false,
    outfile: outFile,
  });
  await mkdir(dirname(outFile), { recursive: true });
  // Moved into place whole: another process may read it meanwhile, and an empty program ends without a word.
  const next = `${outFile}.${randomUUID()}`;
  for (const file of result.outputFiles) await writeFile(next, file.contents);
  await rename(next, outFile);
  return outFile;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  console.log(await buildBridge(process.argv[2]));
  console.log(await buildHelper(process.argv[3]));
  console.log(await buildEgress(process.argv[4]));
}
