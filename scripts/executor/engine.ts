import { CommandFailure } from '../command-failure.ts';
import type { Engine } from '../images/settings.ts';
import { runProgram, type RunOptions } from '../program.ts';

export interface EngineAnswer {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Ends whatever a container does that should take seconds. */
const deadlineMs = 120_000;
/** A pull takes as long as its network does. */
export const pullMs = 3_600_000;

/**
 * Runs one command of the container engine; its exit code is the caller's to judge.
 *
 * Errors  `CommandFailure` where the engine cannot be started or does not end in time; the signal's reason.
 */
export async function askEngine(
  engine: Engine,
  words: readonly string[],
  { timeoutMs = deadlineMs, ...options }: RunOptions = {},
): Promise<EngineAnswer> {
  const { code, stdout, stderr, isMissing, isLate } = await runProgram(engine, words, { timeoutMs, ...options });
  options.signal?.throwIfAborted();
  if (isMissing) throw noEngine(engine, stderr);
  if (isLate)
    throw new CommandFailure(
      124,
      `${engine} ${words[0] ?? ''} did not end within ${timeoutMs / 1000} s. Look at what the image does when it starts.`,
    );
  return { code: code ?? 1, stdout, stderr };
}

export const noEngine = (program: string, why: string): CommandFailure =>
  new CommandFailure(
    2,
    `${program} cannot be started (${why}). Install it, or choose the other with CONTAINER_ENGINE=docker|podman.`,
  );

/** What an image says of itself. */
export interface ImageConfig {
  readonly user: string;
  readonly workingDir: string;
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

/** Reads an image's configuration; the engine fetches the image where it is not on this machine. */
export async function inspectImage(engine: Engine, image: string): Promise<ImageConfig> {
  // The engine would read such a name as an option.
  if (!/^[a-z0-9]/i.test(image))
    throw new CommandFailure(2, `${image} is no image's name. It looks like debian:bookworm-slim.`);
  const inspect = (): Promise<EngineAnswer> => askEngine(engine, ['image', 'inspect', image]);
  let answer = await inspect();
  if (answer.code !== 0 && (await askEngine(engine, ['pull', image], { timeoutMs: pullMs })).code === 0)
    answer = await inspect();
  if (answer.code !== 0) {
    throw new CommandFailure(
      2,
      `${engine} cannot give ${image}: ${answer.stderr.trim()}. Build it (make AGENT=… build) or check the name and that the engine runs.`,
    );
  }
  const [first] = JSON.parse(answer.stdout) as { Config: RawConfig | null }[];
  const config: RawConfig = first?.Config ?? {};
  return {
    user: config.User ?? '',
    workingDir: config.WorkingDir ?? '',
    command: config.Cmd ?? [],
    environment: Object.fromEntries(
      (config.Env ?? []).map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
    ),
  };
}

interface RawConfig {
  readonly User?: string;
  readonly WorkingDir?: string;
  readonly Cmd?: readonly string[] | null;
  readonly Env?: readonly string[] | null;
}
