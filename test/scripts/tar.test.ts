import { spawnSync } from 'node:child_process';
import { describe, expect, it } from '@jest/globals';
import { CommandFailure } from '../../scripts/command-failure.ts';
import { tarOf } from '../../scripts/tar.ts';
import { packTemplate, sentFiles } from '../../scripts/template-package.ts';
import { templates } from '../../stacks/templates.ts';
import { filesOf } from '../support/coder/archive.ts';

const files = new Map([
  ['assets/devbox/Dockerfile', 'FROM scratch\n'],
  ['empty', ''],
  ['main.tf', 'x'.repeat(512)],
  ['README.md', 'Grüße\n'],
]);

describe('An archive of a template', () => {
  it('holds every file with its bytes, and unpacks with tar', () => {
    const archive = Buffer.from(tarOf(files));

    expect(filesOf(archive)).toEqual(files);
    const { status, stdout } = spawnSync('tar', ['-tf', '-'], { input: archive, encoding: 'utf8' });
    expect({ status, names: stdout.trim().split('\n') }).toEqual({
      status: 0,
      names: ['assets/', 'assets/devbox/', ...files.keys()],
    });
  });

  it('is the same for the same files, so that Coder knows it again', () => {
    expect(tarOf(files)).toEqual(tarOf(new Map(files)));
  });

  it.each(['a..b', '../up', '/etc/passwd', 'grüße.tf', 'back\\slash', 'x'.repeat(101), ''])(
    'refuses the path %j, which Coder would skip or garble',
    (path) => {
      expect(() => tarOf(new Map([[path, '']]))).toThrow('cannot be sent to Coder');
    },
  );

  it('holds no dot-file but the lock, no state and no values of variables', () => {
    const lying = [
      '.env',
      '.git/config',
      '.terraform.lock.hcl',
      '.terraform/providers/x',
      'main.tf',
      'mine.auto.tfvars',
      'modules/.hidden',
      'modules/terraform.tfvars',
      'terraform.tfstate.backup',
      'terraform.tfvars',
      'terraform.tfvars.json',
    ];

    const sent = sentFiles(new Map(lying.map((path) => [path, ''])));

    expect([...sent.keys()]).toEqual(['.terraform.lock.hcl', 'main.tf', 'modules/terraform.tfvars']);
  });
});

describe('The package of a template', () => {
  const [entry] = templates;
  if (entry === undefined) throw new Error('There is no template.');
  const failure = (readme: string, rest = ''): CommandFailure | null => {
    try {
      packTemplate(
        entry,
        new Map([
          ['README.md', readme],
          ['main.tf', rest],
        ]),
      );
      return null;
    } catch (error) {
      if (error instanceof CommandFailure) return error;
      throw error;
    }
  };

  it('is at most 1 MiB, as Coder takes it', () => {
    expect(failure('', ' '.repeat(1024 * 1024 - 4 * 512))).toBeNull();
    expect(failure('', ' '.repeat(1024 * 1024 - 3 * 512))).toMatchObject({ exitCode: 2 });
  });

  it.each([
    ['a name over 64 characters', `display_name: ${'x'.repeat(65)}`, 'display_name'],
    ['a description of 128', `description: ${'x'.repeat(128)}`, 'description'],
    ['an icon from elsewhere', 'icon: https://example.com/a.png', 'icon'],
  ])('refuses %s', (_what, line, field) => {
    expect(failure(`---\n${line}\n---\n`)?.message).toContain(`at '${field}'`);
  });

  it('is called by its title when the README says nothing', () => {
    expect(packTemplate(entry, new Map([['main.tf', '']])).metadata).toEqual({
      display_name: entry.title,
      description: '',
      icon: '',
    });
  });
});
