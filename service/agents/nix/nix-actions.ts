import { z } from 'zod';
import type { LeaseCommand } from '../../../modules/contract.ts';
import type { Action } from '../action.ts';

/** Of the repository's own flake: whatever names another flake, such as `nixpkgs#hello`, is not taken. */
const attribute = z
  .string()
  .max(200)
  .regex(
    /^[A-Za-z0-9_][A-Za-z0-9_'+.-]*$/,
    "must be the name of an output of the repository's flake, such as packages.x86_64-linux.default",
  );
const word = z
  .string()
  .max(32_768)
  .refine((text) => !text.includes('\0'), 'holds a null character');
const words = z.array(word).max(200);

const buildParams = z.strictObject({ attribute: attribute.optional() });
const checkParams = z.strictObject({});
const runParams = z.strictObject({ attribute: attribute.optional(), arguments: words.default([]) });
const developParams = z.strictObject({ attribute: attribute.optional(), argv: words.min(1) });

/** Nothing is written beside what is built, and what is built says what it does. */
const quietly = ['--no-write-lock-file', '--print-build-logs'];
const own = (name: string | undefined): string => (name === undefined ? '.' : `.#${name}`);
const nix = (...given: readonly string[]): LeaseCommand => ({ program: 'nix', arguments: given });

/** What the agent can be asked for: a closed list, each with the arguments that `nix` gets. */
export const nixActions: readonly Action[] = [
  {
    name: 'nix_build',
    summary: "Builds an output of the repository's flake with Nix.",
    prompt: 'Build the flake of this repository.',
    params: buildParams,
    command: (params) => nix('build', '--no-link', '--json', ...quietly, own(buildParams.parse(params).attribute)),
  },
  {
    name: 'nix_flake_check',
    summary: "Runs the checks of the repository's flake.",
    prompt: 'Check the flake of this repository.',
    params: checkParams,
    command: () => nix('flake', 'check', ...quietly),
  },
  {
    name: 'nix_run',
    summary: "Runs an app of the repository's flake.",
    prompt: 'Run the app of this repository.',
    params: runParams,
    command(params) {
      const given = runParams.parse(params);
      return nix('run', ...quietly, own(given.attribute), '--', ...given.arguments);
    },
  },
  {
    name: 'nix_develop_run',
    summary: "Runs a program, without a shell, in the development environment of the repository's flake.",
    prompt: 'Run the program in the development environment.',
    params: developParams,
    command(params) {
      const given = developParams.parse(params);
      return nix('develop', ...quietly, own(given.attribute), '--command', ...given.argv);
    },
  },
];
