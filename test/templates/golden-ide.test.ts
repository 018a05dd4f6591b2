import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import { names, paths } from '../../modules/contract.ts';
import { at } from '../../modules/policy/containers.ts';
import { blocksOf } from '../../modules/policy/template.ts';
import { volumes as workspaceVolumes } from '../../modules/workspace/container.ts';
import { ideKinds } from '../../modules/workspace/helper/ide-kinds.ts';
import { everyTemplate, podIn } from './view.ts';

const { worker, sidecar, init, network, egress } = names.containers;
const root = fileURLToPath(new URL('../..', import.meta.url));
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const sources = (folder: string): readonly string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((path) => /\.(ts|sh)$|Dockerfile$/.test(path) && !path.includes('node_modules'))
    .map((path) => read(join(folder, path)));

describe.each(everyTemplate)('the editor of the template %s', (_name, view) => {
  it('I-04 runs in the worker, beside the sidecar at the same files, behind Coder’s own proxy and no other', () => {
    const all = [init, worker, sidecar, ...(view.isDocker ? [network, egress] : [])];

    expect(view.containers.map(({ name }) => name).sort()).toEqual(all.sort());
    expect(view.body('coder_script.helper')).toMatchObject({
      agent_id: '${coder_agent.main.id}',
      script: expect.stringContaining(`${paths.opencode} ${paths.helper} serve`),
    });
    expect(view.container(worker).argv.join(' ')).toContain('coder_agent.main.init_script');
    const source = (name: string) =>
      view.isDocker
        ? blocksOf(view.container(name).body, 'mounts').find(({ target }) => target === '/workspace')?.['source']
        : blocksOf(view.container(name).body, 'volume_mount').find(({ mount_path: path }) => path === '/workspace')?.[
            'name'
          ];
    expect(source(worker)).toBeTruthy();
    expect(source(worker)).toBe(source(sidecar));
    expect(view.body('coder_app.ide')).toMatchObject({
      share: 'owner',
      url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\$\{var\.ide_port\}\//),
    });
    expect(view.text).not.toMatch(/oauth2?-proxy/);
  });

  it('I-15 opens the repository by ?folder=, and OPENVSCODE_SERVER_ROOT is set nowhere', () => {
    expect(view.body('coder_app.ide')['url']).toMatch(/\/\?folder=\$\{local\.folder\}&follow=task$/);
    expect(view.text).not.toContain('OPENVSCODE_SERVER_ROOT');
    for (const source of [
      ...sources('modules/workspace'),
      ...sources('modules/opencode'),
      ...sources('modules/executors'),
    ])
      expect(source).not.toContain('OPENVSCODE_SERVER_ROOT');
  });

  it('I-49 keeps extensions in the home folder or the image, and has no volume of its own', () => {
    const volumes = view.isDocker
      ? view.all.filter(({ type }) => type === 'docker_volume').map(({ name }) => name)
      : blocksOf(podIn(view), 'volume').map(({ name }) => String(name));
    const usual = [...Object.keys(workspaceVolumes), ...(view.isDocker ? [] : ['tmp'])];

    expect([...new Set(volumes)].sort()).toEqual(usual.sort());
    expect(usual.filter((name) => /ide|code|extension/.test(name))).toEqual([]);
    const places = { socket: '/s', userDataDir: '/u', extensionsDir: '/e', basePath: '' };
    for (const { argv } of Object.values(ideKinds)) expect(argv(places).join(' ')).toContain('--extensions-dir /e');
    expect(read('modules/workspace/helper/serve.ts')).toContain("extensionsDir: join(dataDir, 'extensions')");
    expect(view.container(worker).mounts.get(paths.home)).toBe(false);
  });

  it('I-13 comes with an image layer of ours, which the template takes by digest only', () => {
    const dockerfile = read('modules/executors/Dockerfile');
    const conditions = blocksOf(view.body('var.executor_images'), 'validation').map(({ condition }) =>
      String(condition),
    );

    expect(dockerfile).toMatch(/^COPY --from=ide \/opt\/code-server \/opt\/code-server$/m);
    expect(dockerfile).not.toContain('openvscode-server-bundle');
    expect(conditions.some((one) => /alltrue\(.*@sha256:\[0-9a-f\]\{64\}\$/.test(one))).toBe(true);
    expect(blocksOf(view.body('var.ide_images'), 'validation')[0]?.['condition']).toBe(
      '${alltrue([for image in var.ide_images : contains(var.executor_images, image)])}',
    );
  });

  it('P-25 is checked for health by Coder, through the gate', () => {
    expect(view.body('coder_app.ide')['healthcheck']).toEqual({
      url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\$\{var\.ide_port\}\/.*\/healthz$/),
      interval: 5,
      threshold: 6,
    });
  });

  it('I-22 comes back by a build of Coder: each makes the containers anew, and the service deletes none', () => {
    const start = '${data.coder_workspace.me.start_count}';
    if (view.isDocker) expect(view.container(worker).body['count']).toBe(start);
    else {
      expect(view.body('kubernetes_deployment_v1.workspace')['count']).toBe(start);
      expect(
        at(view.body('kubernetes_deployment_v1.workspace'), 'spec', 'template', 'metadata')['annotations'],
      ).toMatchObject({ 'outrigger/build': '${coder_agent.main.id}' });
    }
    for (const source of sources('service')) {
      expect(source).not.toMatch(/docker\.sock\b|kubernetes\.default|KUBERNETES_SERVICE_HOST|\/api\/v1\/namespaces/);
      expect(source).not.toMatch(/from '(@kubernetes\/|dockerode)/);
    }
  });
});
