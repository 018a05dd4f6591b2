import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { dirname, join, relative, sep } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import ts from 'typescript';

const root = join(import.meta.dirname, '..');

/** Rooms of the service: each may import those before it. */
const rooms = [
  'audit',
  'secrets',
  'coder',
  'identity',
  'egress',
  'gateway',
  'agents',
  'broker',
  'bridge',
  'approvals',
  'tasks',
  'metrics',
  'workflows',
  'schedules',
  'workspaces',
  'chat',
] as const;

/** What `from` imports: a path of this project, or the name of a package (`npm:zod`, `node:fs`). Types count. */
interface Import {
  readonly from: string;
  readonly to: string;
}

interface Row {
  readonly title: string;
  readonly from: RegExp;
  readonly may: readonly RegExp[];
}

const npm = /^npm:(?!coder-sdk-ts$)/;
const builtin = /^(node|bun):/;
const cdktf = /^npm:(cdktf|constructs|@cdktf\/provider-\w+)$/;
const contract = /^modules\/contract\.ts$/;
const coderSdk = /^npm:coder-sdk-ts$|^modules\/coder-sdk-ts\/index\.ts$/;
const platform = /^service\/platform\//;
const room = (name: string) => new RegExp(`^service/${name}/`);

const rows: readonly Row[] = [
  { title: 'modules/contract.ts imports nothing', from: contract, may: [] },
  {
    title: 'the bridge imports the contract and what the runtime brings, because it is bundled into one file',
    from: /^modules\/opencode\/bridge\/(entry\.ts|opencode-1\/)/,
    may: [/^modules\/opencode\/bridge\//, contract, builtin],
  },
  {
    title: 'and only its entry imports an adapter of a harness',
    from: /^modules\/opencode\/bridge\/(?!entry\.ts|opencode-1\/)/,
    may: [/^modules\/opencode\/bridge\/(?:tools\/)?[\w-]+\.ts$/, contract, builtin],
  },
  {
    title: "the worker's helper imports the contract and what the runtime brings, because it is bundled into one file",
    from: /^modules\/workspace\/helper\//,
    may: [/^modules\/workspace\/helper\//, contract, builtin],
  },
  {
    title: "a workspace's proxy imports the contract and what the runtime brings, because it is bundled into one file",
    from: /^modules\/egress\//,
    may: [/^modules\/egress\//, contract, builtin],
  },
  {
    title: 'coder-sdk-ts stands alone',
    from: /^modules\/coder-sdk-ts\//,
    may: [/^modules\/coder-sdk-ts\//, npm, builtin],
  },
  {
    title: 'the HCL printer stands alone',
    from: /^modules\/hcl\//,
    may: [/^modules\/hcl\//, npm, builtin],
  },
  {
    title: 'constructs import cdktf, provider bindings, other modules and the contract',
    from: /^modules\/(?!contract\.ts|opencode\/bridge\/|workspace\/helper\/|egress\/|coder-sdk-ts\/|hcl\/)/,
    may: [/^modules\/(?!opencode\/bridge\/|workspace\/helper\/|egress\/)/, cdktf, builtin],
  },
  { title: 'stacks import modules and cdktf', from: /^stacks\//, may: [/^(stacks|modules)\//, cdktf, builtin] },
  { title: 'service/platform imports packages only', from: platform, may: [platform, npm, builtin] },
  ...rooms.map((name, index) => ({
    title: `service/${name} imports the platform, the contract, coder-sdk-ts${index === 0 ? '' : ` and rooms up to ${rooms[index - 1]}`}`,
    from: room(name),
    may: [room(name), platform, contract, coderSdk, npm, builtin, ...rooms.slice(0, index).map(room)],
  })),
  {
    title: 'the configuration imports the platform and the contract',
    from: /^service\/config[\w-]*\.ts$/,
    may: [/^service\/config[\w-]*\.ts$/, platform, contract, npm, builtin],
  },
  {
    title: 'service/migrations.ts imports migrations',
    from: /^service\/migrations\.ts$/,
    may: [/^service\/[\w-]+\/[\w-]*(migrations|idempotency)\.ts$/, npm],
  },
  {
    title: 'service/client imports the contract and packages',
    from: /^service\/client\//,
    may: [/^service\/client\//, contract, npm, builtin],
  },
  { title: 'service/web imports service/client', from: /^service\/web\//, may: [/^service\/(web|client)\//, npm] },
  {
    title: 'service/server.ts imports anything of the service',
    from: /^service\/server[\w-]*\.ts$/,
    may: [/^service\/(?!main\.ts)/, contract, coderSdk, npm, builtin],
  },
  {
    title: 'service/main.ts imports the server, the configuration and the platform',
    from: /^service\/main\.ts$/,
    may: [/^service\/(server|config|migrations)[\w-]*\.ts$/, platform, contract, npm, builtin],
  },
  {
    title: 'scripts import anything but test/, except that demo and serve may use test/support',
    from: /^scripts\/(?!demo\/|(demo|serve)[\w-]*\.ts$)/,
    may: [/^(scripts|service|modules|stacks)\//, npm, coderSdk, builtin],
  },
  {
    title: 'demo and serve may use test/support',
    from: /^scripts\/(demo\/|(demo|serve)[\w-]*\.ts$)/,
    may: [/^(scripts|service|modules|stacks)\//, /^test\/support\//, npm, coderSdk, builtin],
  },
];

const violations = (row: Row, imports: readonly Import[]): string[] =>
  imports
    .filter(({ from, to }) => row.from.test(from) && !row.may.some((allowed) => allowed.test(to)))
    .map(({ from, to }) => `${from} imports ${to}`);

// ---------------------------------------------------------------- the real graph

function filesUnder(folder: string, accept: (path: string) => boolean): string[] {
  const top = join(root, folder);
  if (!existsSync(top)) return [];
  return readdirSync(top, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .filter((path) => !/(^|\/)(node_modules|dist|generated)\//.test(path) && accept(path))
    .sort();
}

const isCode = (path: string): boolean => /\.(ts|tsx|mts|mjs|js)$/.test(path);
const read = (path: string): string => readFileSync(join(root, path), 'utf8');

function importsOf(path: string, source: string): Import[] {
  return ts
    .preProcessFile(source, true, true)
    .importedFiles.map(({ fileName }) => ({ from: path, to: targetOf(path, fileName) }));
}

function targetOf(path: string, specifier: string): string {
  if (specifier.startsWith('.')) return join(dirname(path), specifier).split(sep).join('/');
  if (specifier.startsWith('bun:')) return specifier;
  if (isBuiltin(specifier)) return specifier.startsWith('node:') ? specifier : `node:${specifier}`;
  return `npm:${specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')}`;
}

const runtimeFolders = ['modules', 'stacks', 'service'];
const code = [...runtimeFolders, 'scripts'].flatMap((folder) => filesUnder(folder, isCode));
const imports = code.flatMap((path) => importsOf(path, read(path)));

describe('who may import whom', () => {
  it.each(rows)('$title', (row) => {
    expect(violations(row, imports)).toEqual([]);
  });

  it('is decided for every file: each is in exactly one row', () => {
    const undecided = code.filter((path) => rows.filter((row) => row.from.test(path)).length !== 1);

    expect(undecided).toEqual([]);
  });

  it('is seen in every form of import', () => {
    const source = `import type { A } from './a.ts'; export * from '../b.ts'; const c = await import('node:fs/promises');
      type D = import('zod').ZodType; import e from '@cdktf/provider-docker/lib/container/index.js'; import 'path';`;

    expect(importsOf('service/tasks/x.ts', source).map(({ to }) => to)).toEqual([
      'service/tasks/a.ts',
      'service/b.ts',
      'node:fs/promises',
      'npm:zod',
      'npm:@cdktf/provider-docker',
      'node:path',
    ]);
  });

  it.each([
    ['modules/contract.ts', 'node:fs'],
    ['modules/opencode/bridge/a.ts', 'npm:zod'],
    ['modules/opencode/bridge/a.ts', 'modules/opencode/bridge/opencode-1/client.ts'],
    ['modules/workspace/helper/a.ts', 'npm:zod'],
    ['modules/workspace/helper/a.ts', 'modules/opencode/bridge/git.ts'],
    ['modules/docker/a.ts', 'service/platform/errors.ts'],
    ['modules/docker/a.ts', 'npm:express'],
    ['stacks/main.ts', 'service/config.ts'],
    ['service/platform/a.ts', 'modules/contract.ts'],
    ['service/platform/a.ts', 'npm:coder-sdk-ts'],
    ['service/audit/a.ts', 'service/tasks/b.ts'],
    ['service/approvals/a.ts', 'service/tasks/b.ts'],
    ['service/tasks/a.ts', 'service/server.ts'],
    ['service/tasks/a.ts', 'service/config.ts'],
    ['service/tasks/a.ts', 'test/support/database.ts'],
    ['service/main.ts', 'service/tasks/task.ts'],
    ['service/web/a.tsx', 'service/tasks/task.ts'],
    ['scripts/template.ts', 'test/support/database.ts'],
  ])('refuses that %s imports %s', (from, to) => {
    expect(rows.flatMap((row) => violations(row, [{ from, to }]))).toEqual([`${from} imports ${to}`]);
  });
});

describe('the environment', () => {
  const mayReadIt =
    /^service\/config\.ts$|^stacks\/main\.ts$|^modules\/((opencode\/bridge|workspace\/helper|egress)\/entry|opencode\/bridge\/opencode-1\/plugin)\.ts$/;

  it('is read only where the configuration is made and where a program starts that has no other', () => {
    const readers = runtimeFolders
      .flatMap((folder) => filesUnder(folder, isCode))
      .filter((path) => /\bprocess\s*(\.\s*env\b|\[\s*['"]env)|\benv\s*[,}].*=\s*process\b/.test(read(path)));

    expect(readers.filter((path) => !mayReadIt.test(path))).toEqual([]);
    expect(readers).toContain('service/config.ts');
  });
});

describe('the project stands alone', () => {
  const everyFile = [...runtimeFolders, 'scripts', 'test', 'docs', 'templates']
    .flatMap((folder) => filesUnder(folder, () => true))
    .concat(readdirSync(root, { withFileTypes: true }).flatMap((entry) => (entry.isFile() ? [entry.name] : [])));

  it('no file names a folder beside the project', () => {
    const beside = new RegExp(['\\.\\.', 'shared\\b'].join('/'));

    expect(everyFile.filter((path) => beside.test(read(path)))).toEqual([]);
    expect(everyFile).toContain('package.json');
  });

  it('X-12 nothing we build or render asks for the image tag latest', () => {
    const asking = everyFile
      .filter((path) => /^(templates|stacks|modules(?!\/hcl\/schemas))\//.test(path))
      .filter((path) => read(path).split('\n').some(asksForLatest));

    expect(asking).toEqual([]);
    expect(asksForLatest('  image = "nginx:latest"')).toBe(true);
    expect(asksForLatest("image: 'ghcr.io/coder/envbuilder:latest',")).toBe(true);
    expect(asksForLatest('FROM debian:latest')).toBe(true);
    expect(asksForLatest('FROM debian:12-slim@sha256:00')).toBe(false);
  });

  it('every dependency is one exact version', () => {
    const { dependencies, devDependencies, optionalDependencies } = JSON.parse(read('package.json')) as Record<
      string,
      Record<string, string>
    >;
    const loose = Object.entries({ ...dependencies, ...devDependencies, ...optionalDependencies }).filter(
      ([, version]) => !/^(npm:[\w@/-]+@)?\d+\.\d+\.\d+(-[\w.]+)?$/.test(version),
    );

    expect(loose).toEqual([]);
  });

  it('the service dials nobody but Coder, a model, a forge, a cluster or a Docker daemon: no workspace (part of P-63)', () => {
    /** What opens a connection. `fetch(` of the global is what the Coder client is made of. */
    const opens =
      /\bfrom 'undici'|\bnew WebSocket\(|(?<![.\w]|async )fetch\(|\brequest\b.* from 'node:https?'|\b(net|tls|http|https)\.(connect|request|createConnection)\(/;
    const dialling = everyFile.filter((path) => /^service\/.*\.ts$/.test(path) && opens.test(read(path)));

    expect(dialling.filter((path) => !mayDial.test(path))).toEqual([]);
    expect(dialling.length).toBeGreaterThan(3);
    expect(opens.test("const socket = new WebSocket('ws://10.0.0.1:3001');")).toBe(true);
    expect(opens.test('await fetch(`http://${workspace}:4096`)')).toBe(true);
  });
});

/** Who opens connections, each to hosts that an admin named. */
const mayDial = /^service\/(gateway\/upstream|agents\/docker\/engine|agents\/kubernetes\/cluster|broker\/forge)\.ts$/;

/** An image reference that ends in the tag; policy code that refuses the word itself is not one. */
function asksForLatest(line: string): boolean {
  return /(image\w*\b.*|from\s+)['"]?[\w./-]+:latest\b/i.test(line);
}
