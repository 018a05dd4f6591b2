/** How one image is built: `docker build -f <dockerfile> [--target <target>] … .` at the repository's root. */
export interface ImageKind {
  /** Last part of the image's name. */
  readonly name: string;
  readonly dockerfile: string;
  readonly target?: string;
  /** Settings that become build arguments where they are set; BASE_IMAGE is one of every image. */
  readonly buildArguments: readonly string[];
  /** `debian`: given by digest. `executor`: an executor image, ours unless another is named. */
  readonly base: 'debian' | 'executor';
  /** Copies of `opencode-linux-*` out of node_modules, which must be there for each architecture. */
  readonly holdsOpencode?: true;
}

const executors = 'modules/executors/Dockerfile';
const debianArguments = ['DEBIAN_SNAPSHOT', 'WORKSPACE_DIR'] as const;

/** What `AGENT` may be, beside the folders of docs/examples/executors. */
export const images: Readonly<Record<string, ImageKind>> = {
  opencode: {
    name: 'outrigger-agent-opencode',
    dockerfile: 'modules/opencode/Dockerfile',
    buildArguments: [],
    base: 'debian',
    holdsOpencode: true,
  },
  base: executor('base', debianArguments),
  devbox: executor('devbox', [...debianArguments, 'GO_VERSION']),
  'code-server': executor('code-server', [...debianArguments, 'GO_VERSION']),
  nix: {
    name: 'outrigger-agent-nix',
    dockerfile: 'modules/executors/nix/Dockerfile',
    buildArguments: ['DEBIAN_SNAPSHOT', 'NIXPKGS'],
    base: 'executor',
  },
  service: {
    name: 'outrigger-service',
    dockerfile: 'service/Dockerfile',
    buildArguments: ['DEBIAN_SNAPSHOT'],
    base: 'debian',
  },
};

function executor(target: string, buildArguments: readonly string[]): ImageKind {
  return { name: `outrigger-agent-${target}`, dockerfile: executors, target, buildArguments, base: 'debian' };
}

/** An executor of somebody's own: a folder with a Dockerfile. */
export const exampleImage = (name: string): ImageKind => ({
  name: `outrigger-agent-${name}`,
  dockerfile: `docs/examples/executors/${name}/Dockerfile`,
  buildArguments: ['WORKSPACE_DIR'],
  base: 'executor',
});
