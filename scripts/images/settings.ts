import { CommandFailure } from '../command-failure.ts';
import { exampleImage, images, type ImageKind } from './agents.ts';

export type Engine = 'docker' | 'podman';

/** What the environment says of one build. */
export interface ImageSettings {
  readonly agent: string;
  readonly kind: ImageKind;
  readonly engine: Engine;
  /** Registry and organization, such as `registry.example.com/team`. */
  readonly prefix: string;
  readonly version: string;
  /** Undefined where the admin has named none. */
  readonly baseImage: string | undefined;
  readonly isLocalBaseAllowed: boolean;
  /** Such as `linux/amd64`; only `buildx` has more than one. */
  readonly platforms: readonly string[];
  /** By name; only those that are set. */
  readonly buildArguments: Readonly<Record<string, string>>;
  readonly network: string | undefined;
  /** The version of OpenCode that is asked for; undefined: the one of the lock file. */
  readonly opencodeVersion: string | undefined;
  /** Files of extensions that code-server gets. */
  readonly vsix: readonly string[];
  /** Certificates that the build trusts and no image keeps. */
  readonly buildCa: string | undefined;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Whether the folder of an example executor is there. */
type IsExample = (name: string) => boolean;

/** Reads and checks every setting; `version` is the project's own. */
export function readSettings(environment: Environment, version: string, isExample: IsExample): ImageSettings {
  const valueOf = (name: string): string | undefined => environment[name] || undefined;
  const agent = valueOf('AGENT') ?? '';
  const kind = kindOf(agent, isExample);
  const tag = matching('VERSION', valueOf('VERSION') ?? version, /^[\w][\w.-]{0,127}$/, 'v1.0.0');
  if (tag === 'latest') throw wrong('VERSION=latest names another image every day. Give a version, such as v1.0.0.');
  const registry = matching('IMG_REGISTRY', valueOf('IMG_REGISTRY') ?? 'localhost', /^[a-z0-9][\w.:-]*$/i, 'ghcr.io');
  const organization = matching('IMG_ORG', valueOf('IMG_ORG') ?? 'outrigger', /^[a-z0-9][a-z0-9._/-]*$/, 'myorg');
  return {
    agent,
    kind,
    engine: readEngine(valueOf('CONTAINER_ENGINE')),
    prefix: `${registry}/${organization}`,
    version: tag,
    baseImage: baseOf(kind, valueOf('BASE_IMAGE'), `${registry}/${organization}`, tag),
    isLocalBaseAllowed: /^(1|true|yes)$/.test(valueOf('ALLOW_LOCAL_BASE') ?? '') || isOurOwn(kind, environment),
    platforms: (valueOf('PLATFORMS') ?? 'linux/amd64,linux/arm64').split(','),
    buildArguments: Object.fromEntries(
      kind.buildArguments.flatMap((name) => (valueOf(name) === undefined ? [] : [[name, valueOf(name) ?? '']])),
    ),
    network: valueOf('BUILD_NETWORK'),
    opencodeVersion: valueOf('OPENCODE_VERSION'),
    vsix: (valueOf('VSIX') ?? '').split(/\s+/).filter((path) => path !== ''),
    buildCa: valueOf('BUILD_CA'),
  };
}

/** `docker` or `podman`; undefined is docker. */
export function readEngine(engine: string | undefined): Engine {
  if (engine === undefined || engine === '' || engine === 'docker') return 'docker';
  if (engine === 'podman') return 'podman';
  throw wrong(`CONTAINER_ENGINE is ${engine}. It can be docker or podman.`);
}

/** The reference that an image of ours has, such as `localhost/outrigger/outrigger-agent-devbox:0.1.0`. */
export const referenceOf = ({ name }: ImageKind, { prefix, version }: ImageSettings): string =>
  `${prefix}/${name}:${version}`;

function kindOf(agent: string, isExample: IsExample): ImageKind {
  const kind = Object.hasOwn(images, agent) ? images[agent] : undefined;
  if (kind !== undefined) return kind;
  if (/^[a-z0-9][a-z0-9-]*$/.test(agent) && isExample(agent)) return exampleImage(agent);
  const known = `${Object.keys(images).join(', ')}, or a folder of docs/examples/executors`;
  throw wrong(
    agent === ''
      ? `AGENT says which image; there is none without it. It can be ${known}: make AGENT=devbox build`
      : `There is no image called ${agent}. AGENT can be ${known}.`,
  );
}

const baseOf = (kind: ImageKind, given: string | undefined, prefix: string, version: string): string | undefined =>
  given ?? (kind.base === 'executor' ? `${prefix}/outrigger-agent-base:${version}` : undefined);

/** Without a BASE_IMAGE, an example extends the base executor that was built here just before. */
const isOurOwn = (kind: ImageKind, environment: Environment): boolean =>
  kind.base === 'executor' && !environment['BASE_IMAGE'];

function matching(name: string, value: string, shape: RegExp, example: string): string {
  if (shape.test(value)) return value;
  throw wrong(`${name} cannot be part of an image's name: ${JSON.stringify(value)}. It looks like ${example}.`);
}

const wrong = (message: string): CommandFailure => new CommandFailure(2, message);
