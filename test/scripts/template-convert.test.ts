import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { runConvert } from '../../scripts/template-convert.ts';

const kept = `# How the workspace is built.
resource "coder_agent" "main" {
  # A brace in a text, and one in a heredoc.
  dir            = "}\${"\${path.module}"}"
  startup_script = <<-EOT
    echo } "
  EOT
  env = { PROMPT = data.coder_parameter.prompt.value }
}
`;
const gone = `data "coder_parameter" "prompt" {
  name = "AI Prompt" # this name alone
  type = "string"
}
data "coder_task" "me" {}
resource "coder_ai_task" "task" {
  app_id = coder_app.web.id
}
`;
const after = `
data "coder_parameter" "size" { name = "Size" }
`;

let folder: string;
let template: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'outrigger-convert-'));
  template = join(folder, 'old');
  mkdirSync(template);
  writeFileSync(join(template, 'main.tf'), kept + gone + after);
  writeFileSync(join(template, 'README.md'), 'Read me.');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));
const main = (where: string): string => readFileSync(join(folder, where, 'main.tf'), 'utf8');

it('D1 takes Coder Tasks out of a copy of an old template, keeps every other byte, and says what is left to do', async () => {
  const report = (await runConvert(template, false)).join('\n');

  expect(main('old-converted')).toBe(kept + after);
  expect(main('old')).toBe(kept + gone + after);
  expect(readFileSync(join(folder, 'old-converted', 'README.md'), 'utf8')).toBe('Read me.');
  expect(report).toMatch(/removed {2}main\.tf:10 data\.coder_parameter\.prompt/);
  expect(report).toMatch(/removed .*data\.coder_task\.me[^]*removed .*coder_ai_task\.task/);
  expect(report).toMatch(/main\.tf:8 still uses data\.coder_parameter\.prompt/);
  expect(report).toMatch(/outrigger task run[^]*sidecar/);
  await expect(runConvert(template, false)).rejects.toMatchObject({ exitCode: 2 });
});

it('D1 changes the template itself only when told to, and finds nothing there afterwards', async () => {
  await runConvert(template, true);

  expect(main('old')).toBe(kept + after);
  expect(await runConvert(template, true)).toEqual([expect.stringContaining('holds nothing of Coder Tasks')]);
});

it('D1 refuses what is no HCL, and writes nothing', async () => {
  writeFileSync(join(template, 'broken.tf'), 'resource "coder_ai_task" {{{');

  await expect(runConvert(template, false)).rejects.toMatchObject({ exitCode: 2, message: /broken\.tf/ });
  expect(existsSync(join(folder, 'old-converted'))).toBe(false);
});
