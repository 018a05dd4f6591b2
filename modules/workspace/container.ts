import { paths } from '../contract.ts';
import { interpolation } from '../hcl/expressions.ts';

/** The volumes of a workspace, by the names that both platforms use. A path is a Terraform string. */
export const volumes = {
  home: { path: paths.home, isKept: true },
  workspace: { path: paths.workspace, isKept: true },
  agent: { path: paths.agent, isKept: true },
  tools: { path: paths.tools, isKept: false },
  run: { path: paths.run, isKept: false },
  'custom-ca': { path: paths.customCa, isKept: false },
  // A mount hides what an image has there, so an image without our Nix gets the volume where nothing can be.
  nix: { path: interpolation(`local.has_nix ? "${paths.nix}" : "/var/lib/outrigger-nix"`), isKept: false },
} as const;

export type VolumeName = keyof typeof volumes;

export interface Mount {
  readonly volume: VolumeName;
  readonly readOnly?: boolean;
}

/**
 * One container of a workspace, the same on every platform.
 *
 * Strings of `environment`, `secrets`, `command` and `image` are Terraform strings, in which `${…}` is an expression. `cpu` and
 * `memoryMb` are HCL expressions of numbers, without `${}`.
 */
export interface ContainerSpec {
  readonly name: string;
  readonly image: string;
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Environment that no reader of the container's description should see where the platform can hide it. */
  readonly secrets: Readonly<Record<string, string>>;
  readonly limits: { readonly cpu: string; readonly memoryMb: string };
  /** Reserved where the platform knows reservations. */
  readonly requests: { readonly cpu: string; readonly memoryMb: string };
  readonly mounts: readonly Mount[];
  readonly workingDir: string;
  /** What listens on loopback, by name: said where the platform has a place for it, opened nowhere. */
  readonly ports?: Readonly<Record<string, number>>;
  /** Between the request to stop and the kill. */
  readonly graceSeconds: number;
  /** Cannot write its root filesystem; gets a /tmp of its own. */
  readonly isRootReadOnly: boolean;
  /** Expression of when it runs, beside the workspace itself; without it always. */
  readonly when?: string;
  /** Needs a process that reaps orphans. The sidecar must not have one: it proves that it ended its own. */
  readonly hasInit: boolean;
}
