import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { CommandFailure } from '../../scripts/command-failure.ts';
import { readKataContainerConfig, type KataContainerConfig } from '../../scripts/kata/container-config.ts';
import { generateKataContainerTemplate } from '../../scripts/kata/generate.ts';
import { runKataTemplate, type KataFlags } from '../../scripts/kata.ts';
import { runPush } from '../../scripts/template-push.ts';
import { renderTemplate, synthesizeTemplate, templatesDirectory } from '../../scripts/template.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { images, ran } from './template-harness.ts';

const fixture = (name: string): string => join(import.meta.dirname, '../fixtures/kata', name);
const config = JSON.parse(readFileSync(fixture('container-config.json'), 'utf8')) as KataContainerConfig;

let folder: string;
let out: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'outrigger-kata-test-'));
  out = join(folder, 'out');
});
afterEach(() => rmSync(out, { recursive: true, force: true }));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const main = (made: string): string => readFileSync(join(made, 'main.tf'), 'utf8');

function run(name: string | undefined, flags: Partial<KataFlags>) {
  const [printed, told]: [string[], string[]] = [[], []];
  const say = { print: (line: string) => void printed.push(line), tell: (line: string) => void told.push(line) };
  try {
    runKataTemplate(name, { output: 'json', out, ...flags }, say);
    return {
      code: 0,
      made: JSON.parse(printed.join('')) as { template: string; folder: string },
      told: told.join('\n'),
    };
  } catch (error) {
    if (error instanceof CommandFailure) return { code: error.exitCode, told: [...told, error.message].join('\n') };
    throw error;
  }
}

/** What the form offers, as the rendered HCL says it. */
function defaultsIn(hcl: string) {
  const parameter = (name: string): string =>
    new RegExp(`data "coder_parameter" "${name}" \\{[\\s\\S]*?\\n\\}`).exec(hcl)?.[0] ?? '';
  const default_ = (name: string): string => /\bdefault\s+=\s+(.*)/.exec(parameter(name))?.[1] ?? '';
  const images = /variable "executor_images" \{[\s\S]*?\n\}/.exec(hcl)?.[0] ?? '';
  return {
    image: /\bdefault\s+=\s+\[(.*)\]/.exec(images)?.[1],
    cpu: default_('cpu'),
    memory: default_('memory'),
    disk: default_('disk'),
  };
}

describe('generateKataContainerTemplate', () => {
  it('K-23 answers a private folder with main.tf and README.md', () => {
    const made = generateKataContainerTemplate('my-template', 'What it is for', config);
    try {
      expect([basename(made), readdirSync(made).sort()]).toEqual(['my-template', ['README.md', 'main.tf']]);
      expect([dirname(made), made].map((one) => statSync(one).mode & 0o777)).toEqual([0o700, 0o700]);
      expect(main(made)).toContain('runtime_class_name');
    } finally {
      rmSync(dirname(made), { recursive: true, force: true });
    }
    const plain = main(generateKataContainerTemplate('x', '', config, out));
    for (const name of ['../x', '../../etc/x', 'x"}', '${x}', 'x\n}', '/x']) {
      rmSync(out, { recursive: true, force: true });
      const odd = generateKataContainerTemplate(name, '"} ${x} \n---\n# {', config, join(out, 'deep', 'er'));
      expect(dirname(odd)).toBe(join(out, 'deep', 'er'));
      expect(readdirSync(out, { recursive: true }).filter((one) => String(one).includes('.')).length).toBe(2);
      expect(main(odd)).toBe(plain);
    }
    for (const name of ['"}', '${', '../', ''])
      expect(() => generateKataContainerTemplate(name, '', config, out)).toThrow('holds no letter or digit');
  });

  it('renders HCL that terraform reads and finds well laid out, whatever the name says', () => {
    const made = generateKataContainerTemplate('"} variable "x" {', '', config, out);
    const { status, stdout, error } = spawnSync('terraform', ['fmt', '-check', made], { encoding: 'utf8' });

    if (error === undefined) expect({ status, stdout }).toEqual({ status: 0, stdout: '' });
    expect(main(made)).not.toContain('variable "x"');
  });

  it('takes image, cores, MB and GB as four defaults of the form; a refusal names field and bound (part of K-22)', () => {
    const made = generateKataContainerTemplate('sizes', '', config, out);

    expect(defaultsIn(main(made))).toEqual({
      image: '"ubuntu:20.04"',
      cpu: expect.stringMatching(/\b2\b/),
      memory: expect.stringMatching(/\b4096\b/),
      disk: expect.stringMatching(/\b10\b/),
    });
    for (const [field, value, bounds] of [
      ['CPU', 0, 'CPU is more than 0 and at most 8'],
      ['CPU', 9, 'CPU is more than 0 and at most 8'],
      ['Memory', 1024, 'Memory is at least 2048 and at most 16384'],
      ['Memory', 16_385, 'Memory is at least 2048 and at most 16384'],
      ['Disk', 0, 'Disk is at least 1 and at most 100'],
      ['Disk', 101, 'Disk is at least 1 and at most 100'],
      ['Disk', '10', 'Disk is at least 1 and at most 100'],
      ['Image', 'a b"}', 'Image is the name of an image'],
      ['Colour', 'red', 'Colour'],
    ] as const)
      expect(() => readKataContainerConfig({ ...config, [field]: value })).toThrow(bounds);
  });

  it('refuses a folder that is there, and a description that Coder would not take', () => {
    mkdirSync(join(out, 'taken'), { recursive: true });

    expect(() => generateKataContainerTemplate('taken', '', config, out)).toThrow('EEXIST');
    expect(() => generateKataContainerTemplate('long', 'x'.repeat(128), config, out)).toThrow('Coder takes 127');
    expect(existsSync(join(out, 'long'))).toBe(false);
  });
});

describe('outrigger kata template', () => {
  it('K-21 makes the literal line, with these as defaults, and warns that ubuntu:20.04 has ended', () => {
    const command = join(import.meta.dirname, '../../scripts/outrigger.mjs');
    const line = 'kata template NAME --image ubuntu:20.04 --cpu 2 --memory 4096 --disk 10'.split(' ');

    const { status, stdout, stderr } = spawnSync(process.execPath, [command, ...line], {
      encoding: 'utf8',
      env: { PATH: process.env['PATH'], HOME: folder, TMPDIR: folder },
    });

    const made = /^Template NAME is in (.*)\.$/m.exec(stdout)?.[1] ?? '';
    expect(status).toBe(0);
    expect(stderr).toContain('ubuntu:20.04 reached its end of life on 2025-05-31');
    expect(stderr).toContain('ubuntu:20.04 is not pinned by digest');
    expect(dirname(dirname(made))).toBe(folder);
    expect(defaultsIn(main(made))).toEqual({
      image: '"ubuntu:20.04"',
      cpu: expect.stringMatching(/\b2\b/),
      memory: expect.stringMatching(/\b4096\b/),
      disk: expect.stringMatching(/\b10\b/),
    });
  });

  it('takes the image from the images lock without --image, and asks for one where there is none', () => {
    const lock = join(import.meta.dirname, '../../images.lock.json');
    const asked = existsSync(lock) ? undefined : run('x', {});

    if (asked) expect(asked).toMatchObject({ code: 2, told: expect.stringContaining('Which image? Give --image') });
  });

  it('takes a request or a config from a file, with flags over it', () => {
    const request = run(undefined, { fromFile: fixture('template-request.json'), cpu: '1' });
    const alone = run('other', { fromFile: fixture('container-config.json') });

    expect(request).toMatchObject({ code: 0, made: { template: 'my-template', config: { ...config, CPU: 1 } } });
    expect(alone).toMatchObject({ code: 0, made: { template: 'other', config } });
  });

  it.each([
    ['no name', undefined, { image: 'ubuntu:24.04' }, 'What is it called?'],
    ['a number that is none', 'x', { image: 'ubuntu:24.04', cpu: 'many' }, 'CPU is more than 0'],
    ['memory below the floor', 'x', { image: 'ubuntu:24.04', memory: '512' }, 'Memory is at least 2048'],
    ['a file that is not there', 'x', { fromFile: '/nowhere.json' }, 'cannot be read'],
  ] as const)('exits 2 for %s, and makes nothing', (_what, name, flags, sentence) => {
    expect(run(name, flags)).toMatchObject({ code: 2, told: expect.stringContaining(sentence) });
    expect(existsSync(out)).toBe(false);
  });

  it('says what a name becomes', () => {
    const { told, made } = run('../my template', { image: 'ubuntu:24.04' });

    expect(told).toContain('the template is called my-template');
    expect(made?.folder).toBe(join(out, 'my-template'));
  });
});

describe('A generated Kata template that is pushed', () => {
  let test: TestService;
  beforeAll(async () => {
    test = await startTestService();
  });
  afterAll(() => test.stop());

  it('K-24 shows its name and description in Coder, and is refused when main.tf was changed by hand', async () => {
    const made = run(undefined, { fromFile: fixture('template-request.json') }).made;
    const request = JSON.parse(readFileSync(fixture('template-request.json'), 'utf8')) as Record<string, string>;
    const { token } = test.coder.addUser({ username: 'kata-admin', roles: ['template-admin'] });
    const rendering = { directory: templatesDirectory, synthesize: synthesizeTemplate, render: renderTemplate };
    const flags = {
      service: test.url,
      output: 'json',
      timeout: '20',
      from: dirname(made?.folder ?? ''),
      var: [`opencode_image=${images.opencode_image}`, 'node_kernels=["6.1.0-30-amd64"]'],
    };
    const push = () =>
      ran({ coderUrl: test.coder.url, token, home: folder }, (around) =>
        runPush(rendering, ['my-template'], flags, around),
      );

    expect(await push()).toMatchObject({ code: 0 });

    const template = [...test.coder.world.templates.values()].find(({ name }) => name === request['name']);
    expect(template).toMatchObject({ displayName: request['name'], description: request['description'] });
    appendFileSync(join(made?.folder ?? '', 'main.tf'), '# by hand\n');
    expect(await push()).toMatchObject({ code: 1, stderr: expect.stringContaining('main.tf (modified)') });
  });
});
