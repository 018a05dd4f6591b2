import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from '@jest/globals';
import { canary, deployFakes, readIfThere, secretFiles } from '../support/terraform/deployable.ts';
import { withFakeProviders } from '../support/terraform/fake-providers.ts';
import { run, terraformPath, type Finished } from '../support/terraform/terraform.ts';

/** `./run cdktf` installs 220 MB and wants Node 22.19, so scripts/test-deploy.sh alone asks for this. */
const withCommand = process.env.OUTRIGGER_TEST_CDKTF === '1' && terraformPath !== null ? describe : describe.skip;

const root = fileURLToPath(new URL('../..', import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), 'outrigger-cdktf-'));
const stateOf = (stack: string): string => join(scratch, `${stack}.tfstate`);
const backend = JSON.stringify({ type: 'local', path: join(scratch, '{stack}.tfstate') });
const digest = `@sha256:${'a'.repeat(64)}`;

/** These providers come from no registry that could be asked for their checksums. */
const unlocked = '--skip-provider-lock';

/** The command as docs/deploy.md gives it, with providers that know their schema only. */
async function cdktf(argv: readonly string[], environment: Readonly<Record<string, string>> = {}): Promise<Finished> {
  return await withFakeProviders(deployFakes, async (providers) => {
    const given = { OUTRIGGER_STATE_BACKEND: backend, ...providers, ...environment };
    return await run('./run', ['cdktf', ...argv], { cwd: root, environment: given });
  });
}

/** Variables as a file of the form that docs/deploy.md shows. */
function variables(name: string, values: Readonly<Record<string, unknown>>): string {
  const path = join(scratch, `${name}.tfvars`);
  writeFileSync(
    path,
    Object.entries(values)
      .map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`)
      .join(''),
  );
  return `--var-file=${path}`;
}

const everything = ({ stdout, stderr }: Finished): string => stdout + stderr;

withCommand('S-16 the command ./run cdktf', () => {
  const service = {
    service_image: `registry.example.com/outrigger-service:1${digest}`,
    coder_url: 'https://coder.example.com',
    outrigger_url: 'https://outrigger.example.com',
    ...secretFiles(scratch, ['coder-token']),
  };
  const stacks = [
    ['docker-service', variables('docker-service', { ...service, publish_port: 7676 }), 'docker_container'],
    ['kubernetes-service', variables('kubernetes-service', service), 'kubernetes_stateful_set_v1'],
  ] as const;
  const catalog = variables('coder-catalog', {
    templates: ['docker'],
    docker_variables: { outrigger_url: 'https://outrigger.example.com', executor_images: '[]' },
  });
  const plainState = { OUTRIGGER_ALLOW_PLAIN_STATE: 'true' };
  const secret = { TF_VAR_docker_secret: `ors_0123456789ab_${'s'.repeat(43)}` };

  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  it('lists the stacks, the catalog only where its state may be plain, and never a template', async () => {
    const guarded = await cdktf(['list']);
    const all = await cdktf(['list'], plainState);

    expect([guarded.code, all.code]).toEqual([0, 0]);
    expect(guarded.stdout).toMatch(/docker-service[\s\S]*kubernetes-service/);
    expect(guarded.stdout).not.toMatch(/^coder-catalog\b(?! is left out)/m);
    expect(all.stdout).toMatch(/^coder-catalog\b/m);
    expect(all.stdout).not.toMatch(/^(docker|kubernetes|kata)\b(?!-service)/m);
  }, 900_000);

  it('synthesizes what it lists', async () => {
    expect((await cdktf(['synth'], plainState)).code).toBe(0);
    for (const [stack] of [...stacks, ['coder-catalog']])
      expect(existsSync(join(root, 'cdktf.out', 'stacks', String(stack), 'cdk.tf.json'))).toBe(true);
  }, 300_000);

  it.each(stacks)(
    'plans, deploys and destroys %s, and keeps no secret of it',
    async (stack, file, type) => {
      const planned = await cdktf(['diff', stack, unlocked, file]);
      expect(everything(planned)).toContain(type);
      expect(planned.code).toBe(0);

      const deployed = await cdktf(['deploy', stack, '--auto-approve', unlocked, file]);
      expect(everything(deployed)).toContain('Apply complete!');
      expect(deployed.code).toBe(0);
      expect(readIfThere(stateOf(stack))).toContain(type);

      expect(everything(await cdktf(['diff', stack, unlocked, file]))).toContain('No changes');

      const destroyed = await cdktf(['destroy', stack, '--auto-approve', unlocked, file]);
      expect(everything(destroyed)).toContain('Destroy complete!');
      expect((JSON.parse(readFileSync(stateOf(stack), 'utf8')) as { resources: unknown[] }).resources).toEqual([]);
      for (const said of [planned, deployed, destroyed]) expect(everything(said)).not.toContain(canary);
      expect(readIfThere(stateOf(stack)) + readIfThere(`${stateOf(stack)}.backup`)).not.toContain(canary);
    },
    600_000,
  );

  it('deploys the catalog where its state may hold secrets, prints none, and leaves no plan behind', async () => {
    const deployed = await cdktf(['deploy', 'coder-catalog', '--auto-approve', unlocked, catalog], {
      ...plainState,
      ...secret,
    });
    const planned = await cdktf(['diff', 'coder-catalog', unlocked, catalog], { ...plainState, ...secret });

    expect(everything(deployed)).toContain('Apply complete!');
    expect(everything(planned)).toContain('No changes');
    expect(everything(deployed) + everything(planned)).not.toContain(secret.TF_VAR_docker_secret);
    expect(readIfThere(stateOf('coder-catalog'))).toContain('coderd_template');
    expect(existsSync(join(root, 'cdktf.out', 'stacks', 'coder-catalog', 'plan'))).toBe(false);
  }, 600_000);

  it('refuses the catalog where its state would be plain, and a template always, and says why', async () => {
    const refused = await cdktf(['deploy', 'coder-catalog', '--auto-approve', unlocked, catalog], secret);
    const template = await cdktf(['deploy', 'docker', '--auto-approve']);

    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('does not promise to encrypt it');
    expect(template.code).not.toBe(0);
    expect(everything(template)).toContain("Could not find stack for pattern 'docker'");
  }, 300_000);
});
