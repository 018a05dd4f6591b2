import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { coderdSchema, dockerSchema, kubernetesSchema } from '../../../modules/hcl/schemas/index.ts';
import { serviceSecrets, variableOf } from '../../../modules/service/service-secrets.ts';
import type { Plan } from './docker-template.ts';
import { withFakeProviders } from './fake-providers.ts';
import type { FakeSchema } from './schema-messages.ts';
import { run, terraform, type Finished } from './terraform.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));

/** Schemas of every provider that a deployable stack uses. */
export const deployFakes = {
  'kreuzwerker/docker': dockerSchema.provider_schemas['kreuzwerker/docker'] as FakeSchema,
  'hashicorp/kubernetes': kubernetesSchema.provider_schemas['hashicorp/kubernetes'] as FakeSchema,
  'coder/coderd': coderdSchema.provider_schemas['coder/coderd'] as FakeSchema,
};

export type Environment = Readonly<Record<string, string>>;

/** Runs the app as the cdktf command does, into `directory`/cdktf.out. */
export async function synthesize(directory: string, environment: Environment = {}): Promise<Finished> {
  return await run('node', ['--import', 'tsx', 'stacks/main.ts'], {
    cwd: root,
    environment: { CDKTF_OUTDIR: join(directory, 'cdktf.out'), ...environment },
  });
}

/** A throw-away folder with the output of the app in it. */
export async function inSynthesized<Result>(
  environment: Environment,
  use: (directory: string) => Promise<Result>,
): Promise<Result> {
  const directory = mkdtempSync(join(tmpdir(), 'outrigger-deploy-'));
  try {
    const finished = await synthesize(directory, environment);
    if (finished.code !== 0) throw new Error(finished.stderr);
    return await use(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** One stack in a folder of its own, initialized. */
export interface Workbench {
  readonly cwd: string;
  /** Where the local backend keeps the state. */
  readonly stateFile: string;
  readonly plan: () => Promise<DeployPlan>;
  /** Exit code of a plan: 0 nothing to do, 2 something to do. */
  readonly planCode: () => Promise<number>;
  readonly apply: () => Promise<void>;
  /** What Terraform says when it plans with these variables besides, on one line. */
  readonly planWith: (values: Readonly<Record<string, unknown>>) => Promise<string>;
}

export type DeployPlan = Pick<Plan, 'planned_values'>;

/**
 * Runs `use` on one stack under real Terraform with providers that know their schema only.
 *
 * `synthesized` is a folder of `inSynthesized`; `values` are the variables.
 */
export async function onStack<Result>(
  synthesized: string,
  stack: string,
  values: Readonly<Record<string, unknown>>,
  use: (bench: Workbench) => Promise<Result>,
): Promise<Result> {
  const directory = mkdtempSync(join(tmpdir(), 'outrigger-stack-'));
  const cwd = join(directory, 'cdktf.out', 'stacks', stack);
  mkdirSync(cwd, { recursive: true });
  cpSync(join(synthesized, 'cdktf.out', 'stacks', stack), cwd, { recursive: true });
  writeFileSync(join(cwd, 'given.auto.tfvars.json'), JSON.stringify(values));
  try {
    return await withFakeProviders(deployFakes, async (environment) => {
      const options = { cwd, environment };
      await terraform(['init', '-input=false', '-no-color'], options);
      await terraform(['validate', '-no-color'], options);
      return await use({
        cwd,
        stateFile: join(directory, '.outrigger', 'state', `${stack}.tfstate`),
        plan: async () => {
          await terraform(['plan', '-input=false', '-no-color', '-out=plan.bin'], options);
          return JSON.parse(await terraform(['show', '-json', 'plan.bin'], options)) as DeployPlan;
        },
        planCode: async () =>
          (await run('terraform', ['plan', '-input=false', '-detailed-exitcode', '-no-color'], options)).code,
        planWith: async (more) => {
          writeFileSync(join(cwd, 'more.json'), JSON.stringify(more));
          const { stdout, stderr } = await run(
            'terraform',
            ['plan', '-input=false', '-no-color', '-var-file=more.json'],
            options,
          );
          return `${stdout}${stderr}`.replace(/\s*\n[│\s]*/g, ' ');
        },
        apply: async () => void (await terraform(['apply', '-auto-approve', '-input=false', '-no-color'], options)),
      });
    });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** A text that must not be found anywhere but in the secret files. */
export const canary = 'canary-7c1f0f9f';

/** Secret files, each with the canary in it, as the variables that name them. */
export function secretFiles(directory: string, files: readonly string[]): Record<string, string> {
  const given = serviceSecrets.filter(({ file }) => files.includes(file));
  return Object.fromEntries(
    given.map((secret) => {
      const path = join(directory, secret.file);
      writeFileSync(path, `${canary}-${secret.file}\n`);
      return [variableOf(secret), path];
    }),
  );
}

export const readIfThere = (path: string): string => (existsSync(path) ? readFileSync(path, 'utf8') : '');
