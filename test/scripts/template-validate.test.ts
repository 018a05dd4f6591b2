import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { CommandFailure } from '../../scripts/command-failure.ts';
import { readTar } from '../../scripts/tar.ts';
import type { Rendering } from '../../scripts/template-push.ts';
import { runValidate, type ValidateFlags } from '../../scripts/template-validate.ts';
import { renderedTemplates } from './template-harness.ts';

let folder: string;
let rendering: Rendering;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'outrigger-validate-test-'));
  rendering = renderedTemplates(folder);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function validate(flags: Partial<ValidateFlags>, with_: Partial<Rendering> = {}) {
  const said: string[] = [];
  const print = (line: string): void => void said.push(line);
  try {
    const code = runValidate({ ...rendering, ...with_ }, ['docker'], { var: [], ...flags }, { print }) ?? 0;
    return { code, said: said.join('\n') };
  } catch (error) {
    if (error instanceof CommandFailure) return { code: error.exitCode, said: error.message };
    throw error;
  }
}

/** A terraform whose named subcommand fails. */
function terraform(name: string, failing: string): string {
  const path = join(folder, name);
  writeFileSync(path, `#!/bin/sh\ncase $1 in ${failing}) echo "said by $1" >&2; exit 1 ;; esac\n`);
  chmodSync(path, 0o755);
  return path;
}

describe('outrigger template validate', () => {
  it('judges by our own rules without terraform, and says that the rest was not checked', () => {
    expect(validate({ terraform: '/nowhere/terraform' })).toEqual({
      code: 0,
      said: [
        'docker: our rules: right',
        'docker: rendered: as committed',
        'docker: terraform: not checked, since there is no terraform in PATH',
      ].join('\n'),
    });
  });

  it('says that providers are not there, which is no fault of the template', () => {
    const run = validate({ terraform: terraform('no-providers', 'init') });

    expect(run).toMatchObject({
      code: 0,
      said: expect.stringContaining('not checked, since init failed: said by init'),
    });
  });

  it.each(['fmt', 'validate', 'plan'])('exits 1 when terraform %s fails, with what it said', (what) => {
    const values = ['outrigger_url=https://o.example.com', ...imagesAsFlags];

    const run = validate({ terraform: terraform(`bad-${what}`, what), var: values });

    expect(run).toMatchObject({ code: 1, said: expect.stringContaining(`terraform ${what}: said by ${what}`) });
  });

  it('exits 1 for what our lint finds, and for a main.tf that is not as it renders', () => {
    const twice = { resource: { coder_agent: { agent_main: {} } } };
    const linted = validate({}, { synthesize: () => twice });
    const from = join(folder, 'by-hand');
    mkdirSync(join(from, 'docker'), { recursive: true });
    writeFileSync(join(from, 'docker', 'main.tf'), '# by hand\n');

    expect(linted).toMatchObject({ code: 1, said: expect.stringContaining('coder_agent.agent_main (agent-name)') });
    expect(validate({ from })).toMatchObject({
      code: 1,
      said: expect.stringContaining('main.tf is not as it renders'),
    });
  });

  it('exits 2 for a value of a variable that there is not', () => {
    const run = validate({ var: ['colour=red'], terraform: '/nowhere/terraform' });

    expect(run).toMatchObject({ code: 2, said: expect.stringContaining('no variable colour') });
  });
});

const imagesAsFlags = ['opencode_image', 'executor_images'].map((name) => {
  const image = `r.example.com/x:1@sha256:${'a'.repeat(64)}`;
  return `${name}=${name.endsWith('s') ? JSON.stringify([image]) : image}`;
});

describe('Reading an archive', () => {
  it.each(['ustar', 'gnu'])('gives the regular files of a %s archive that tar made, with long paths', (format) => {
    const source = join(folder, format);
    const long = `${'d'.repeat(60)}/${'f'.repeat(30)}.tf`;
    mkdirSync(join(source, 'd'.repeat(60)), { recursive: true });
    writeFileSync(join(source, long), 'Grüße\n');
    writeFileSync(join(source, 'main.tf'), 'x'.repeat(513));
    const { stdout } = spawnSync('tar', [`--format=${format}`, '-C', source, '-cf', '-', '.']);

    expect([...readTar(stdout)]).toEqual([
      [long, 'Grüße\n'],
      ['main.tf', 'x'.repeat(513)],
    ]);
  });

  it.each([
    ['nothing', ''],
    ['no archive', 'no archive'.padEnd(1024)],
  ])('gives no files of %s', (_what, text) => {
    expect(readTar(Buffer.from(text)).size).toBe(0);
  });
});
