import { spawnSync } from 'node:child_process';
import { CommandFailure } from '../command-failure.ts';
import type { Engine } from '../images/settings.ts';

export interface EngineAnswer {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Ends whatever a container does that should take seconds. */
const deadlineMs = 120_000;

/** Runs one command of the container engine, with `input` on its standard input. */
export function askEngine(engine: Engine, words: readonly string[], input = ''): EngineAnswer {
  const { status, stdout, stderr, error } = spawnSync(engine, words, {
    input,
    encoding: 'utf8',
    timeout: deadlineMs,
    maxBuffer: 64 * 1024 * 1024,
  });
  if (error !== undefined && status === null && !('code' in error && error.code === 'ETIMEDOUT')) {
    throw noEngine(engine, error);
  }
  if (error !== undefined) {
    throw new CommandFailure(
      124,
      `${engine} ${words[0] ?? ''} did not end within ${deadlineMs / 1000} s. Look at what the image does when it starts.`,
    );
  }
  return { code: status ?? 1, stdout, stderr };
}

export const noEngine = (program: string, cause: Error): CommandFailure =>
  new CommandFailure(
    2,
    `${program} cannot be started (${cause.message}). Install it, or choose the other with CONTAINER_ENGINE=docker|podman.`,
    { cause },
  );

/** What an image says of itself. */
export interface ImageConfig {
  readonly user: string;
  readonly workingDir: string;
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

/** Reads an image's configuration; the engine fetches the image where it is not on this machine. */
export function inspectImage(engine: Engine, image: string): ImageConfig {
  // The engine would read such a name as an option.
  if (!/^[a-z0-9]/i.test(image))
    throw new CommandFailure(2, `${image} is no image's name. It looks like debian:bookworm-slim.`);
  const inspect = (): EngineAnswer => askEngine(engine, ['image', 'inspect', image]);
  let answer = inspect();
  if (answer.code !== 0 && askEngine(engine, ['pull', image]).code === 0) answer = inspect();
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
