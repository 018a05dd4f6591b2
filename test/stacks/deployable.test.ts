import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { catalogMessage } from '../../stacks/catalog-mark.ts';
import {
  canary,
  inSynthesized,
  onStack,
  readIfThere,
  secretFiles,
  synthesize,
} from '../support/terraform/deployable.ts';
import { terraformPath } from '../support/terraform/terraform.ts';

const withTerraform = terraformPath === null ? describe.skip : describe;
const digest = `@sha256:${'a'.repeat(64)}`;

let directory = '';
let secrets = '';
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'outrigger-app-'));
  secrets = mkdtempSync(join(tmpdir(), 'outrigger-secrets-'));
  const finished = await synthesize(directory, { OUTRIGGER_ALLOW_PLAIN_STATE: 'true' });
  if (finished.code !== 0) throw new Error(finished.stderr);
});
afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
  rmSync(secrets, { recursive: true, force: true });
});

const manifest = (folder: string) =>
  JSON.parse(readFileSync(join(folder, 'cdktf.out', 'manifest.json'), 'utf8')) as { stacks: Record<string, unknown> };

const service = () => ({
  service_image: `registry.example.com/outrigger-service:1${digest}`,
  coder_url: 'https://coder.example.com',
  outrigger_url: 'https://outrigger.example.com',
  ...secretFiles(secrets, ['coder-token', 'model-api-key']),
});
const withDatabase = () => ({
  ...service(),
  ...secretFiles(secrets, ['database-url', 'keyring', 'audit-signing-key']),
});
const templateSecret = `ors_0123456789ab_${'s'.repeat(43)}`;
const catalog = {
  templates: ['docker'],
  docker_variables: { outrigger_url: 'https://outrigger.example.com', executor_images: '[]' },
  docker_secret: templateSecret,
};

describe('stacks/main.ts', () => {
  it('holds the deployable stacks and no template, so that cdktf deploy can never apply one', () => {
    expect(Object.keys(manifest(directory).stacks).sort()).toEqual([
      'coder-catalog',
      'docker-service',
      'kubernetes-service',
    ]);
  });

  it('leaves the catalog out, and says why, where its state would be plain', async () => {
    await inSynthesized({}, (folder) => {
      expect(Object.keys(manifest(folder).stacks)).toEqual(['docker-service', 'kubernetes-service']);
      return Promise.resolve();
    });
  });

  it('writes no path of this machine', () => {
    for (const stack of Object.keys(manifest(directory).stacks)) {
      const text = readFileSync(join(directory, 'cdktf.out', 'stacks', stack, 'cdk.tf.json'), 'utf8');
      expect(text).not.toMatch(/"\/(?!var\/lib\/outrigger|run\/secrets|tmp"|healthz|readyz|"|icon\/)[a-z]/);
      expect(text).not.toContain(directory);
      expect(text).not.toContain(process.cwd());
    }
  });
});

withTerraform('the stacks of the service under real Terraform (part of S-16)', () => {
  const cases: [string, string, () => Record<string, unknown>][] = [
    ['docker-service with its own Postgres', 'docker-service', service],
    ['docker-service with a database of yours', 'docker-service', withDatabase],
    ['kubernetes-service with its own Postgres', 'kubernetes-service', service],
    [
      'kubernetes-service with replicas, an Ingress, a quota and chosen clients',
      'kubernetes-service',
      () => ({
        ...withDatabase(),
        replicas: 3,
        ingress_host: 'outrigger.example.com',
        ingress_tls_secret: 'outrigger-tls',
        client_namespaces: ['coder-workspaces'],
        image_pull_secrets: ['registry'],
        resource_quota: { 'limits.memory': '8Gi' },
      }),
    ],
  ];

  it.each(cases)(
    '%s applies with no secret in its plan or state, and a second plan is empty',
    async (...[, stack, values]) => {
      await onStack(directory, stack, values(), async ({ plan, apply, planCode, stateFile }) => {
        const planned = JSON.stringify(await plan());
        await apply();
        const state = readIfThere(stateFile);

        expect(await planCode()).toBe(0);
        expect(state).toContain('"resources"');
        expect(planned + state).not.toContain(canary);
      });
    },
  );

  it('refuses what would be unsafe or could not run, and says what to do', async () => {
    const refusals: readonly [Record<string, unknown>, string][] = [
      [{ service_image: 'outrigger-service:1' }, 'Pin the image by digest'],
      [{ coder_token_file: '/nowhere/coder-token' }, 'There is no such file'],
      [{ outrigger_url: 'https://example.com/agents' }, 'Give a scheme and a host'],
      [{ replicas: 2 }, "give 'database_url_file'"],
      [{ ingress_host: 'outrigger.example.com' }, 'name a certificate'],
      [secretFiles(secrets, ['database-url']), 'must share it'],
      [{ egress_ports: [] }, 'List at least one port'],
    ];
    await onStack(directory, 'kubernetes-service', service(), async ({ planWith }) => {
      for (const [wrong, message] of refusals) expect(await planWith(wrong)).toContain(message);
    });
  });
});

withTerraform('coder-catalog under real Terraform', () => {
  it('publishes the templates it was told to with the mark by which push knows them, once', async () => {
    await onStack(directory, 'coder-catalog', catalog, async ({ plan, apply, planCode }) => {
      const [template, ...others] = (await plan()).planned_values.root_module.resources ?? [];
      await apply();

      expect(others).toEqual([]);
      expect(template?.values).toMatchObject({
        name: 'docker',
        display_name: 'Docker with an agent beside you',
        versions: [{ active: true, directory: 'assets/docker/files', message: catalogMessage }],
      });
      expect(template?.values['versions']).toMatchObject([
        { tf_vars: expect.arrayContaining([{ name: 'outrigger_secret', value: templateSecret }]) as unknown },
      ]);
      expect(await planCode()).toBe(0);
    });
  });

  it('refuses a template that there is not, and one without its secret', async () => {
    await onStack(directory, 'coder-catalog', catalog, async ({ planWith }) => {
      expect(await planWith({ templates: ['dock'] })).toContain('Name only templates that there are');
      expect(await planWith({ docker_secret: '' })).toContain("'outrigger template secret docker'");
    });
  });
});
