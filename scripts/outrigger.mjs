#!/usr/bin/env node
// The `outrigger` command, right after `npm ci`: TypeScript runs through tsx, from any folder.
import { fileURLToPath } from 'node:url';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`outrigger needs Node 20.19 or newer; this is ${process.versions.node}. Install a newer Node.`);
  process.exit(2);
}

const { register } = await import('tsx/esm/api').catch(() => {
  console.error('outrigger is not installed yet. Run `npm ci` in its folder first.');
  process.exit(2);
});
register({ tsconfig: fileURLToPath(new URL('../tsconfig.json', import.meta.url)) });
// Whoever reads has heard enough, as in `outrigger audit export | head`: ends as a signal of the pipe would end it.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error) => {
    if (error.code === 'EPIPE') process.exit(141);
    throw error;
  });
const { main } = await import('./outrigger.ts');
process.exitCode = await main(process.argv);
