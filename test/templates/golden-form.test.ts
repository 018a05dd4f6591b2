import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { names } from '../../modules/contract.ts';
import { blocksOf, type Body } from '../../modules/policy/template.ts';
import { readKataContainerConfig } from '../../scripts/kata/container-config.ts';
import { templatesDirectory } from '../../scripts/template.ts';
import { everyTemplate, factsOf, views, type View } from './view.ts';

const { worker, sidecar, init, network } = names.containers;
const file = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

describe.each(everyTemplate)('the form of the template %s', (_name, view) => {
  it('K-42 is answered by what Coder shows on the worker: image, cpu, memory and disk that were chosen', () => {
    expect(factsOf(view)).toMatchObject({
      image: '${local.executor_image}',
      cpu: '${local.worker_cpu} cores',
      memory: '${local.worker_memory_mb} MB',
      disk: view.isDocker
        ? '${var.disk_quota ? "${data.coder_parameter.disk[0].value} GB" : "not limited"}'
        : '${data.coder_parameter.disk.value} GB',
    });
    const resource = view.isDocker ? 'docker_container.worker' : 'kubernetes_deployment_v1.workspace';
    expect(view.body('coder_metadata.worker')['resource_id']).toBe(`\${${resource}[0].id}`);
    for (const local of ['executor_image', 'worker_cpu', 'worker_memory_mb'])
      expect(view.body(`local.${local}`)['value']).toContain('data.coder_parameter.');
  });

  it('K-22 takes image, cores, MB and GB, each more than 0 and at most what the admin allows', () => {
    const config = JSON.parse(file('test/fixtures/kata/container-config.json')) as Record<string, unknown>;
    const fields = {
      CPU: ['cpu', 'max_cpu'],
      Memory: ['memory', 'max_memory_mb'],
      Disk: ['disk', 'max_disk_gb'],
    } as const;

    expect(readKataContainerConfig(config)).toEqual(config);
    expect(view.body('data.coder_parameter.executor_image')['type']).toBe('string');
    expect(units(view)).toEqual(['CPU cores', 'Memory (MB)', 'Disk (GB)']);
    for (const [field, [parameter, bound]] of Object.entries(fields)) {
      const body: Body = view.body(`data.coder_parameter.${parameter}`);
      const [validation] = blocksOf(body, 'validation');
      expect([parameter, body['type'], validation?.['max']]).toEqual([parameter, 'number', `\${var.${bound}}`]);
      expect(Number(validation?.['min'])).toBeGreaterThan(0);
      expect(validation?.['error']).toMatch(/^Give a whole number from \{min\} to \{max\}/);
      for (const wrong of [0, -1, 1_000_000])
        expect(() => readKataContainerConfig({ ...config, [field]: wrong })).toThrow(
          new RegExp(`${field} is .* at most \\d+`),
        );
    }
    expect(() => readKataContainerConfig({ ...config, Image: '' })).toThrow('Image is the name of an image');
  });

  it('O-06 puts the agent into a container of the same image, or into the worker where the admin lets it', () => {
    const mode = 'local.agent_mode';
    const script = view.body('coder_script.bridge');
    const pod = view.all.find(({ type }) => type === 'kubernetes_deployment_v1')?.body;

    expect(view.container(sidecar).image).toBe(view.container(worker).image);
    expect(view.body('var.agent_modes')['default']).toEqual(['sidecar']);
    expect(view.body('local.agent_mode')['value']).toContain('var.agent_modes[0]');
    expect(script['count']).toBe(`\${${mode} == "process" ? data.coder_workspace.me.start_count : 0}`);
    expect(script['script']).toContain('/tools/opencode /tools/bridge.js');
    // A container that is there only in the one mode, as the bridge in the worker is only in the other.
    const gates = [view.container(sidecar).body['count'], JSON.stringify(pod ?? {})].map(String);
    expect(gates.some((gate) => gate.replaceAll('\\', '').includes(`${mode} == "sidecar" ? `))).toBe(true);
  });

  it('O-10 changes OpenCode by a variable that no container of the executor image reads', () => {
    const users = view.containers.filter(({ body }) => JSON.stringify(body).includes('var.opencode_image'));

    expect(users.map(({ name }) => name).sort()).toEqual([init, ...(view.isDocker ? [network] : [])].sort());
    for (const name of [worker, sidecar]) expect(view.container(name).image).toBe('${local.executor_image}');
    expect(view.body('local.executor_image')['value']).not.toContain('opencode');
    expect(file('modules/executors/Dockerfile').replace(/^\s*#.*\n/gm, '')).not.toMatch(/opencode/i);
  });

  it('asks how much is cloned wherever it asks for repositories, since that rules the further ones too', () => {
    for (const name of ['more_repositories', 'git_depth', 'git_submodules'])
      expect([name, view.body(`data.coder_parameter.${name}`)['count']]).toEqual([
        name,
        '${tobool(data.coder_parameter.advanced.value) ? 1 : 0}',
      ]);
  });

  it('takes its providers from bounded versions, and none for Kata, which does not exist (part of K-45)', () => {
    expect(view.text).toContain('"coder":{"source":"coder/coder","version":"~> 2.16"}');
    expect(view.text).not.toMatch(/"source":"[^"]*kata/i);
  });
});

const locks = views.map(({ name }) => join(templatesDirectory, name, '.terraform.lock.hcl'));
/** Only a machine that reaches the registry of providers can make the lock files. */
const withLocks = locks.every((path) => existsSync(path)) ? it : it.skip;

withLocks('K-45 every template locks coder/coder 2.x by checksum, and no provider of Kata', () => {
  for (const path of locks) {
    const lock = readFileSync(path, 'utf8');
    expect(lock).toMatch(/^provider "[^"]*\/coder\/coder" \{\n {2}version\s+= "2\.\d+\.\d+"\n[^}]*"(h1|zh):/m);
    expect(lock).not.toMatch(/^provider "[^"]*kata/m);
  }
});

const units = (view: View): readonly unknown[] =>
  ['cpu', 'memory', 'disk'].map((name) => view.body(`data.coder_parameter.${name}`)['display_name']);
