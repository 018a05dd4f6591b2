import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openLab, whatIsMissing } from './namespaces.ts';
import { tryEverything, waysOut, type Tried } from './verdict.ts';

/** Runs every way twice, with and without the network's help, and writes down what got out. */
const missing = whatIsMissing();
if (missing !== null) {
  process.stderr.write(`Nothing was measured: ${missing}.\n`);
  process.exit(2);
}

async function outOf(isEnforced: boolean): Promise<{ tried: readonly Tried[]; out: readonly Tried[] }> {
  const lab = await openLab({ isEnforced, mode: 'allowlist' });
  try {
    const report = await tryEverything(lab);
    return { tried: report.tried, out: waysOut(report, lab) };
  } finally {
    lab.end();
  }
}

const withVariables = await outOf(false);
const enforced = await outOf(true);
const groups = [...new Set(enforced.tried.map(({ group }) => group))];
const count = (all: readonly Tried[], group: string): string => String(all.filter((one) => one.group === group).length);
const rows = groups.map((group) => [
  group,
  count(enforced.tried, group),
  count(withVariables.out, group),
  count(enforced.out, group),
]);
const total = [
  '**all**',
  ...[enforced.tried, withVariables.out, enforced.out].map((all) => `**${String(all.length)}**`),
];
const table = [
  ['ways', 'tried', 'got out with proxy variables alone', 'got out of a workspace'],
  ['---', '--:', '--:', '--:'],
];
const page = `# Ways around the list

Written by \`scripts/test-egress.sh\`; not edited by hand. [ways.ts](ways.ts) holds each way, and
[docs/egress.md](../../docs/egress.md) says what holds a workspace back.

Three network namespaces: the workspace's, the proxy's, and a world of allowed and forbidden places. A way got out when
a forbidden place answered it or saw a byte of it, when a name server was asked for data in a name, or when an allowed
server received a second request that nobody had judged. "With proxy variables alone" is the same list where the
variables are set and the network between is an ordinary router.

${[...table, ...rows, total].map((cells) => `| ${cells.join(' | ')} |`).join('\n')}

What no list of names can stop, and what is not counted above: a host that is allowed and serves more than one tenant
can be used by any of them, inside TLS as well.
`;
writeFileSync(join(import.meta.dirname, 'README.md'), page);
process.stdout.write(page);
