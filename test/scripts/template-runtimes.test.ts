import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { processClock } from '../../scripts/template-context.ts';
import { runPush, type Rendering } from '../../scripts/template-push.ts';
import { renderTemplate, synthesizeTemplate } from '../../scripts/template-render.ts';
import { loadConfig } from '../../service/config.ts';
import { templates } from '../../stacks/templates.ts';
import { imageFlags, renderedTemplates } from './template-harness.ts';

const kataDocker = 'io.containerd.kata.v2';

let folder: string;
let rendering: Rendering;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'outrigger-runtimes-'));
  rendering = renderedTemplates(folder);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What a push of the docker template would send, as the configuration has it. */
async function wouldSend(environment: Readonly<Record<string, string>>, ...more: string[]): Promise<unknown> {
  const printed: string[] = [];
  const config = loadConfig({
    environment: { OUTRIGGER_URL: 'https://outrigger.example.com', ...environment },
    readFile: () => undefined,
    homeDir: folder,
    uid: 1000,
  });
  await runPush(
    rendering,
    ['docker'],
    { output: 'json', var: [...imageFlags, ...more], timeout: '20', dryRun: true },
    {
      config,
      print: (line) => void printed.push(line),
      tell: () => undefined,
      signal: new AbortController().signal,
      clock: processClock,
      pollMs: 5,
    },
  );
  return (JSON.parse(printed.join('\n')) as { variables: Record<string, unknown> }).variables['container_runtime'];
}

const entry = (name: string) => {
  const found = templates.find((one) => one.name === name);
  if (found === undefined) throw new Error(`There is no template ${name}.`);
  return found;
};

describe('K-05 Kata', () => {
  it('is what the template kata asks for, by a RuntimeClass', () => {
    const text = JSON.stringify(synthesizeTemplate(entry('kata')));

    expect(text).toContain('"runtime_class_name":"${var.runtime_class}"');
    expect(synthesizeTemplate(entry('kata'))['variable']).toMatchObject({ runtime_class: { default: 'kata-qemu' } });
  });

  it('runs the containers of the docker template where kata.docker_runtime says so, and only there', async () => {
    expect(await wouldSend({ KATA_DOCKER_RUNTIME: kataDocker })).toBe(kataDocker);
    expect(await wouldSend({})).toBeUndefined();
    expect(await wouldSend({ KATA_DOCKER_RUNTIME: kataDocker }, 'container_runtime=runc')).toBe('runc');
  });

  it.each([['docker'], ['kubernetes']])('is not mentioned by a plain %s template', (name) => {
    expect(renderTemplate(entry(name)).get('main.tf')).not.toMatch(/kata/i);
  });
});
