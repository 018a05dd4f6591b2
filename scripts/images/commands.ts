import { referenceOf, type ImageSettings } from './settings.ts';

/** What a dry run shows where no BASE_IMAGE was given. */
const missingBase = 'debian:bookworm-slim@sha256:<digest>';

/** The command that builds an image for this machine's architecture. */
export function buildCommand(settings: ImageSettings): string[] {
  return [settings.engine, 'build', ...buildFlags(settings), '--tag', referenceOf(settings.kind, settings), '.'];
}

/** The commands that build an image for several architectures and push it. */
export function buildxCommands(settings: ImageSettings): string[][] {
  const reference = referenceOf(settings.kind, settings);
  const flags = [...buildFlags(settings), '--platform', settings.platforms.join(',')];
  if (settings.engine === 'podman') {
    return [
      ['podman', 'build', ...flags, '--manifest', reference, '.'],
      ['podman', 'manifest', 'push', '--all', reference, `docker://${reference}`],
    ];
  }
  return [['docker', 'buildx', 'build', ...flags, '--tag', reference, '--push', '.']];
}

function buildFlags({ kind, baseImage, buildArguments, network, version }: ImageSettings): string[] {
  const values = { BASE_IMAGE: baseImage ?? missingBase, ...buildArguments };
  return [
    '--file',
    kind.dockerfile,
    ...(kind.target === undefined ? [] : ['--target', kind.target]),
    ...(network === undefined ? [] : ['--network', network]),
    ...Object.entries(values).flatMap(([name, value]) => ['--build-arg', `${name}=${value}`]),
    '--label',
    `org.opencontainers.image.version=${version}`,
  ];
}
