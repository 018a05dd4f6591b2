import { execFile, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/**
 * Real Terraform, where there is one.
 *
 * `null` means that it is missing and may be; with CI=true a missing tool is a failure, never a skip.
 */
export const terraformPath: string | null = find('terraform', ['version']);
export const goPath: string | null = find('go', ['version']);

function find(program: string, probe: readonly string[]): string | null {
  const found = spawnSync(program, probe, { stdio: 'ignore' }).status === 0;
  if (!found && process.env.CI === 'true') {
    throw new Error(
      `${program} is not in PATH. With CI=true the templates must be checked with it, so this is a failure.`,
    );
  }
  return found ? program : null;
}

export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. The environment is what Terraform needs and nothing else of this machine's. */
export async function run(
  program: string,
  argv: readonly string[],
  options: { readonly cwd?: string; readonly environment?: Readonly<Record<string, string>> } = {},
): Promise<Finished> {
  const inherited = ['PATH', 'HOME', 'TMPDIR', 'GOPROXY', 'GOSUMDB', 'GOFLAGS', 'GOMODCACHE', 'GOCACHE'];
  const environment = Object.fromEntries(inherited.map((name) => [name, process.env[name]]));
  return await new Promise((resolve) => {
    execFile(
      program,
      [...argv],
      {
        cwd: options.cwd,
        env: { ...environment, CHECKPOINT_DISABLE: '1', TF_IN_AUTOMATION: '1', ...options.environment },
        maxBuffer: 64 * 1024 * 1024,
      },
      (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
        resolve({ code, stdout, stderr });
      },
    );
  });
}

/** Runs Terraform and fails with its own words when it does not succeed. */
export async function terraform(
  argv: readonly string[],
  options: { readonly cwd: string; readonly environment?: Readonly<Record<string, string>> },
): Promise<string> {
  const finished = await run('terraform', [...argv], options);
  if (finished.code !== 0) {
    throw new Error(`terraform ${argv.join(' ')} exited with ${finished.code}\n${finished.stdout}\n${finished.stderr}`);
  }
  return finished.stdout;
}

/** Builds the real coder provider if need be and answers the path of a Terraform configuration that finds it. */
export async function realCoderProvider(): Promise<string> {
  const script = fileURLToPath(new URL('../../../scripts/terraform-providers.sh', import.meta.url));
  const cache = process.env.OUTRIGGER_TERRAFORM_CACHE;
  const finished = await run(script, cache === undefined ? [] : [cache]);
  const match = /^export TF_CLI_CONFIG_FILE=(.+)$/m.exec(finished.stdout);
  if (finished.code !== 0 || match?.[1] === undefined) {
    throw new Error(`scripts/terraform-providers.sh exited with ${finished.code}\n${finished.stderr}`);
  }
  return match[1];
}
