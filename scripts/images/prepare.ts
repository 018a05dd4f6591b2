import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { CommandFailure } from '../command-failure.ts';
import { isPinned } from './pinned.ts';
import type { ImageSettings } from './settings.ts';

/** Refuses a build whose base could be another one tomorrow. */
export function checkBase({ baseImage, isLocalBaseAllowed, kind }: ImageSettings): void {
  const what = kind.base === 'debian' ? 'Debian bookworm' : 'the executor image that yours extends';
  if (baseImage === undefined) {
    throw new CommandFailure(
      2,
      `BASE_IMAGE says which image to build on: ${what}, by digest. To find the digest of today's:\n` +
        '  docker pull debian:bookworm-slim\n' +
        "  docker image inspect --format '{{index .RepoDigests 0}}' debian:bookworm-slim",
    );
  }
  if (isPinned(baseImage)) return;
  if (isLocalBaseAllowed && /:(?!latest$)[\w.-]+$/.test(baseImage)) return;
  throw new CommandFailure(
    2,
    `BASE_IMAGE=${baseImage} has no digest, so the same build could give another image tomorrow. ` +
      'Add @sha256:…, or set ALLOW_LOCAL_BASE=1 for an image that is only on this machine (with a tag other than latest).',
  );
}

/** Refuses an architecture that OpenCode is not there for, and a version that the lock file does not pin. */
export function checkOpencode(
  root: string,
  { kind, opencodeVersion }: ImageSettings,
  platforms: readonly string[],
): void {
  if (kind.holdsOpencode === undefined) return;
  const pinned = pinnedOpencode(root);
  if (opencodeVersion !== undefined && opencodeVersion !== pinned) {
    throw new CommandFailure(
      2,
      `OPENCODE_VERSION=${opencodeVersion}, but package-lock.json pins ${pinned}, and its checksum is what makes the image sure. ` +
        `To change it: npm install --save-exact opencode-linux-x64@${opencodeVersion}`,
    );
  }
  const missing = platforms.filter((platform) => opencodeIn(root, platform) !== pinned);
  if (missing.length === 0) return;
  throw new CommandFailure(
    2,
    `There is no OpenCode ${pinned} for ${missing.join(' and ')}: npm ci installed none. OpenCode's arm64 packages end before this version. ` +
      'Build for what there is: PLATFORMS=linux/amd64',
  );
}

export const pinnedOpencode = (root: string): string => {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    optionalDependencies: Record<string, string>;
  };
  return manifest.optionalDependencies['opencode-linux-x64'] ?? '';
};

/** The version of OpenCode that node_modules holds for a platform such as `linux/amd64`. */
function opencodeIn(root: string, platform: string): string | undefined {
  const architecture = platform.replace(/^linux\//, '').replace('amd64', 'x64');
  const folder = join(root, 'node_modules', `opencode-linux-${architecture}`);
  if (!existsSync(join(folder, 'bin', 'opencode'))) return undefined;
  return (JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version: string }).version;
}

/** Puts the files that a Dockerfile copies from dist/ there: the certificates of the build and the extensions. */
export function prepareContext(root: string, { vsix, buildCa }: ImageSettings): void {
  const [certificates, extensions] = [join(root, 'dist/build-ca'), join(root, 'dist/vsix')];
  for (const folder of [certificates, extensions]) {
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
  }
  writeFileSync(join(certificates, 'ca.crt'), buildCa === undefined ? '' : readFileSync(fileAt('BUILD_CA', buildCa)));
  // A folder without files cannot be copied by every engine.
  writeFileSync(join(extensions, '.keep'), '');
  for (const path of vsix) copyFileSync(fileAt('VSIX', path), join(extensions, basename(path)));
}

function fileAt(setting: string, path: string): string {
  if (existsSync(path)) return path;
  throw new CommandFailure(2, `${setting} names ${path}, which is not there.`);
}
