import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from '@cdktn/hcl2json';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { printHcl } from '../../../modules/hcl/print.ts';
import { templateSchemas } from '../../../modules/hcl/schemas/index.ts';
import type { Json, JsonObject } from '../../../modules/hcl/values.ts';
import { run, terraformPath } from '../../support/terraform/terraform.ts';

const required = {
  required_providers: {
    coder: { source: 'coder/coder', version: '~> 2.16' },
    docker: { source: 'kreuzwerker/docker', version: '~> 3.6' },
  },
};
const print = (configuration: JsonObject): string => printHcl(configuration, templateSchemas);
const printResource = (type: string, body: JsonObject): string =>
  print({ terraform: required, resource: { [type]: { x: body } } });
const printLocal = (value: Json): string => print({ locals: { x: value } });
const withTerraform = terraformPath === null ? it.skip : it;

/** Text that tries every rule of strings: expressions, escapes, quotes, control characters, heredoc tags. */
const text = fc
  .array(
    fc.constantFrom(
      'word',
      ' ',
      '  ',
      '\n',
      '\n',
      '\t',
      '\r',
      '"',
      '\\',
      '$',
      '%',
      '{',
      '}',
      '$${a}',
      '%%{b}',
      '${local.y}',
      '${upper("q\\"}")}',
      '%{ if local.y }',
      'EOT',
      '\nEOT\n',
      '\nEOT_\n',
      'ü',
      '👩‍🚀',
      '\u0001',
      '#',
      '//',
    ),
    { maxLength: 12 },
  )
  .map((pieces) => pieces.join(''))
  .filter((template) => balanced(template) && !/[$%]{3}|[$%]+\{\{/.test(template.replaceAll(/\$\$\{a}|%%\{b}/g, '')));

/** Directives come in pairs and a bare `${` is no literal; both are the author's errors, not the printer's. */
function balanced(template: string): boolean {
  if (/%\{ if/.test(template)) return false;
  return (
    !/[$%]\{/.test(template.replaceAll(/\$\$\{a}|%%\{b}|\$\{local\.y}|\$\{upper\("q\\"}"\)}/g, '')) &&
    !/[$%](\$\$\{|%%\{|\$\{)/.test(template)
  );
}

const value: fc.Arbitrary<Json> = fc.letrec<{ value: Json }>((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom<Json>(null, true, false, 0, -1, 12.5),
    text,
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(fc.constantFrom('a', 'long_name', 'with-dash', 'a b', '1', 'ü'), tie('value'), { maxKeys: 4 }),
  ),
})).value;

describe('printHcl keeps the meaning of every value', () => {
  it('so that HCL read back is the JSON it was printed from', async () => {
    await fc.assert(
      fc.asyncProperty(value, async (one) => {
        const read = (await parse('x.tf', printLocal({ one }))) as { locals: [{ x: { one?: Json } }] };
        expect(read.locals[0].x.one ?? null).toEqual(one);
      }),
      { numRuns: 300 },
    );
  });

  withTerraform('and terraform fmt has nothing to change', async () => {
    const values = fc.sample(value, 150);
    const directory = mkdtempSync(join(tmpdir(), 'outrigger-fmt-'));
    try {
      values.forEach((one, index) => writeFileSync(join(directory, `${index}.tf`), printLocal({ one, after: 1 })));
      const finished = await run('terraform', ['fmt', '-check', '-diff'], { cwd: directory });
      expect(finished).toMatchObject({ code: 0, stdout: '' });
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });
});

describe('printHcl prints what is said about a block', () => {
  it('as a comment above it, and drops the notes of other programs', () => {
    const hcl = print({
      terraform: required,
      variable: { x: { '//': 'First line,\n\nand another.', type: 'string' } },
      resource: { docker_volume: { x: { '//': { metadata: { path: 'a/b' } }, name: 'n' } } },
    });

    expect(hcl).toContain('\n# First line,\n#\n# and another.\nvariable "x" {\n  type = string\n}\n');
    expect(hcl).toContain('\n\nresource "docker_volume" "x" {\n  name = "n"\n}\n');
  });

  it('and sets dynamic blocks behind those of their kind that are always there', () => {
    const hcl = printResource('docker_container', {
      name: 'n',
      image: 'i',
      labels: [{ label: 'a', value: 'b' }],
      mounts: [{ target: '/x', type: 'volume' }],
      dynamic: { labels: [{ for_each: '${[]}', content: { label: 'c', value: 'd' } }] },
    });

    const body = hcl.slice(hcl.indexOf('resource '));
    expect([...body.matchAll(/^ {2}(\w.*) \{$/gm)].map(([, header]) => header)).toEqual([
      'labels',
      'dynamic "labels"',
      'mounts',
    ]);
  });
});

describe('printHcl tells blocks from attributes by the schema', () => {
  it('prints nested blocks as blocks and maps as attributes', () => {
    const hcl = printResource('docker_container', {
      name: 'n',
      image: 'i',
      tmpfs: { '/tmp': 'rw' },
      labels: [{ label: 'a', value: 'b' }],
      capabilities: { drop: ['ALL'] },
    });

    expect(hcl).toContain('  tmpfs = {\n    "/tmp" = "rw"\n  }\n');
    expect(hcl).toContain('  labels {\n    label = "a"\n    value = "b"\n  }\n');
    expect(hcl).toContain('  capabilities {\n    drop = ["ALL"]\n  }\n');
  });

  it('prints dynamic blocks with their content under the schema of the block, at any depth', () => {
    const hcl = printResource('docker_container', {
      name: 'n',
      image: 'i',
      dynamic: {
        mounts: [
          {
            for_each: '${var.m}',
            iterator: 'm',
            content: { target: '${m.value}', type: 'volume', volume_options: { labels: [{ label: 'a', value: 'b' }] } },
          },
        ],
      },
    });

    expect(hcl).toContain('  dynamic "mounts" {\n    for_each = var.m\n    iterator = m\n\n    content {\n');
    expect(hcl).toContain('      volume_options {\n        labels {\n          label = "a"');
  });

  it.each([
    ['an unknown type', 'docker_nonsense', {}, 'docker_nonsense is in no provider schema'],
    ['a type of an unknown provider', 'acme_thing', {}, 'No schema of provider hashicorp/acme'],
    ['an unknown argument', 'docker_volume', { nmae: 'x' }, 'there is no argument or block "nmae"'],
    ['an unknown argument in a block', 'docker_volume', { labels: { x: 1 } }, 'there is no argument or block "x"'],
    ['a read-only argument', 'docker_volume', { mountpoint: '/x' }, '"mountpoint" is read-only'],
    ['an unknown dynamic block', 'docker_volume', { dynamic: { x: { content: {} } } }, 'no nested block "x"'],
    ['a value where a block belongs', 'docker_volume', { labels: 'x' }, 'must be an object'],
  ])('refuses %s', (_what, type, body, message) => {
    expect(() => printResource(type, body as JsonObject)).toThrow(message);
  });

  it('refuses a top-level word it does not know, instead of dropping it', () => {
    expect(() => print({ ephemeral: {} })).toThrow('has "ephemeral"');
  });

  it('knows terraform_data without a schema', () => {
    expect(print({ resource: { terraform_data: { x: { input: '${1}' } } } })).toContain('input = 1\n');
  });
});

describe('printHcl writes what Terraform takes unquoted without quotes', () => {
  it('in variables, where defaults and descriptions are literal', () => {
    const hcl = print({
      variable: {
        x: { type: 'list(string)', default: ['${a}'], description: '%{b}', nullable: false, sensitive: true },
      },
    });

    expect(hcl).toBe(
      'variable "x" {\n  description = "%%{b}"\n  type        = list(string)\n  default     = ["$${a}"]\n  nullable    = false\n  sensitive   = true\n}\n',
    );
  });

  it.each([
    ['ignore_changes', { lifecycle: { ignore_changes: 'all' } }, '    ignore_changes = all\n'],
    ['ignore_changes of a list', { lifecycle: { ignore_changes: ['name'] } }, '    ignore_changes = [name]\n'],
    ['replace_triggered_by', { lifecycle: { replace_triggered_by: ['${a.b}'] } }, '    replace_triggered_by = [a.b]\n'],
    ['depends_on', { depends_on: ['docker_volume.y'] }, '\n  depends_on = [docker_volume.y]\n}\n'],
    ['provider', { provider: 'docker.other' }, '  provider = docker.other\n'],
    ['count', { count: '${var.n}' }, '  count = var.n\n\n'],
  ])('in %s', (_what, body, expected) => {
    expect(printResource('docker_volume', { name: 'n', ...body })).toContain(expected);
  });

  it('in moved, removed, import, check and outputs', () => {
    const hcl = print({
      output: { o: { value: '${a.b}', description: '${no}', depends_on: ['a.b'] } },
      check: { c: { assert: [{ condition: '${true}', error_message: 'no' }] } },
      moved: [{ from: 'a.b', to: 'a.c' }],
      removed: [{ from: 'a.d', lifecycle: { destroy: false } }],
      import: [{ to: 'a.e', id: 'x' }],
    });

    expect(hcl).toContain('output "o" {\n  description = "$${no}"\n  value       = a.b\n\n  depends_on = [a.b]\n}\n');
    expect(hcl).toContain('check "c" {\n  assert {\n    condition     = true\n    error_message = "no"\n  }\n}\n');
    expect(hcl).toContain('moved {\n  from = a.b\n  to   = a.c\n}\n');
    expect(hcl).toContain('removed {\n  from = a.d\n\n  lifecycle {\n    destroy = false\n  }\n}\n');
    expect(hcl).toContain('import {\n  to = a.e\n  id = "x"\n}\n');
  });
});

describe('printHcl writes scripts as people would', () => {
  it('in a heredoc that strips exactly the indentation it added', () => {
    expect(printLocal('#!/bin/sh\n\n  echo "$${HOME}" \\\n')).toBe(
      'locals {\n  x = <<-EOT\n    #!/bin/sh\n\n      echo "$${HOME}" \\\n  EOT\n}\n',
    );
  });

  it('without stripping when no line starts at column 0', () => {
    expect(printLocal(' a\n  b\n')).toBe('locals {\n  x = <<EOT\n a\n  b\nEOT\n}\n');
  });

  it('under a tag that no line of the text is', () => {
    expect(printLocal('a\nEOT\n EOT_\n')).toContain('x = <<-EOT__\n');
  });

  it('in quotes when a heredoc could not say it', () => {
    expect(printLocal('a\r\nb\n')).toContain('x = "a\\r\\nb\\n"');
    expect(printLocal('a\nb')).toContain('x = "a\\nb"');
  });
});
