import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { names } from '../../modules/contract.ts';
import type { Plan } from '../support/terraform/docker-template.ts';
import { terraformPath } from '../support/terraform/terraform.ts';
import {
  cores,
  everyTemplate,
  isPlanned,
  mebibytes,
  planTemplate,
  plannedContainers,
  plannedFolder,
  type Amounts,
  type PlannedContainer,
} from './view.ts';

const { worker, sidecar } = names.containers;
const withTerraform = terraformPath === null ? describe.skip : describe;
const file = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
const image = (name: string, digit: string): string => `registry.example.com/${name}:1@sha256:${digit.repeat(64)}`;

const images = {
  devbox: image('outrigger-agent-devbox', 'a'),
  codeServer: image('outrigger-agent-code-server', 'b'),
  own: image('team/tools', 'c'),
};
/** What the form calls an image. */
const nameOf = (reference: string): string => reference.replace(/:1@.*$/, '');

const admin = {
  executor_images: [images.devbox, images.codeServer],
  ide_images: [images.codeServer],
  allowed_images: ['registry.example.com/team/'],
};

/** What the IDE needs, as the literal example says. */
const ide = parse(file('test/fixtures/ide/resources.yaml')) as Record<
  'requests' | 'limits',
  { memory: string; cpu: string }
>;
const amounts = ({ cpu, memory }: { readonly cpu: string; readonly memory: string }): Amounts => ({
  cpu: cores(cpu),
  memoryMib: mebibytes(memory),
});

const pick = (plan: Plan, name: string): PlannedContainer => {
  const found = plannedContainers(plan)[name];
  if (found === undefined) throw new Error(`There is no container ${name} in the plan.`);
  return found;
};
/** What the worker of one plan has beyond that of another. */
const beyond = (one: Plan, other: Plan, which: 'limits' | 'requests'): Amounts => {
  const [more, less] = [pick(one, worker)[which], pick(other, worker)[which]];
  if (more === null || less === null) throw new Error('The platform reserves nothing.');
  return { cpu: Number((more.cpu - less.cpu).toFixed(3)), memoryMib: more.memoryMib - less.memoryMib };
};

withTerraform.each(everyTemplate)('the template %s, as Terraform plans it', (_name, view) => {
  /** As the form stands; with the editor's image, off and on; with everything chosen otherwise. */
  let plain: Plan;
  let off: Plan;
  let on: Plan;
  let chosen: Plan;
  beforeAll(async () => {
    plain = await planTemplate(view, admin);
    off = await planTemplate(view, admin, { executor_image: nameOf(images.codeServer), ide_enabled: 'false' });
    on = await planTemplate(view, admin, { executor_image: nameOf(images.codeServer), ide_enabled: 'true' });
    chosen = await planTemplate(view, admin, {
      ...{ executor_image: 'own', own_image: images.own, git_repository: 'https://git.example.com/team/project.git' },
      ...{ cpu: '4', memory: '8192', advanced: 'true', agent_cpu: '3', agent_memory: '6144' },
    });
  }, 300_000);

  it('P-21 P-22 gives the worker 2048 MB and one core unless somebody says otherwise', () => {
    expect(pick(plain, worker).limits).toEqual({ cpu: 1, memoryMib: 2048 });
    // Coder's provisioner makes the containers; nothing of ours needs a client of Docker for it.
    expect(file('package-lock.json')).not.toContain('"node_modules/dockerode"');
  });

  it('C-36 gives the agent a limit of 4 GiB with 512 MiB reserved, and an editor its own', () => {
    const { limits, requests } = pick(plain, sidecar);

    expect(pick(plain, worker).limits).toEqual({ cpu: 1, memoryMib: 2048 });
    expect(limits.memoryMib).toBe(4096);
    expect(requests?.memoryMib).toBe(view.isDocker ? undefined : 512);
    expect(beyond(on, plain, 'limits')).toEqual({ cpu: 2, memoryMib: 2048 });
    if (!view.isDocker) expect(beyond(on, plain, 'requests')).toEqual({ cpu: 0.2, memoryMib: 512 });
  });

  it('I-17 adds what resources.yaml says: limits where the image holds an editor, requests only where it is enabled', () => {
    for (const plan of [off, on]) expect(beyond(plan, plain, 'limits')).toEqual(amounts(ide.limits));
    if (view.isDocker) return;
    expect(beyond(off, plain, 'requests')).toEqual({ cpu: 0, memoryMib: 0 });
    expect(beyond(on, plain, 'requests')).toEqual(amounts(ide.requests));
  });

  it('S-109 lets CPU and memory of the agent be chosen, beside those of the person', () => {
    expect(pick(plain, sidecar).limits).toEqual({ cpu: 1, memoryMib: 4096 });
    expect(pick(chosen, sidecar).limits).toEqual({ cpu: 3, memoryMib: 6144 });
    expect(pick(chosen, worker).limits).toEqual({ cpu: 4, memoryMib: 8192 });
  });

  it('O-07 O-11 takes devbox, code-server or an image of one’s own, and has an editor only where the image has', () => {
    for (const [plan, wanted] of [
      [plain, images.devbox],
      [on, images.codeServer],
      [chosen, images.own],
    ] as const) {
      expect([pick(plan, worker).image, pick(plan, sidecar).image]).toEqual([wanted, wanted]);
      expect([wanted, isPlanned(plan, 'coder_app.ide[0]')]).toEqual([wanted, wanted === images.codeServer]);
    }
    const dockerfile = file('modules/executors/Dockerfile');
    const layer = dockerfile.slice(dockerfile.indexOf('FROM devbox AS code-server'));
    expect(layer).toMatch(/^FROM devbox AS code-server\n[^]*COPY --from=ide \/opt\/code-server /);
    expect(dockerfile).toMatch(/^FROM base AS devbox$/m);
    expect(file('modules/opencode/Dockerfile')).toContain('/opt/outrigger/opencode');
    expect(file('test/fixtures/executor/make-commands.txt')).toMatch(/^make AGENT=code-server build$/m);
  });

  it('P-100 puts the repository into a folder of its own below /workspace, which is the root of the volume', () => {
    expect(plannedFolder(chosen)).toBe('/workspace/project');
    expect(plannedFolder(plain)).toBe('/workspace');
    for (const name of [worker, sidecar]) expect(view.container(name).mounts.has('/workspace')).toBe(true);
  });
});
