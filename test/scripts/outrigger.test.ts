import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

const command = join(import.meta.dirname, '../../scripts/outrigger.mjs');
const canary = 'canary-0123456789abcdef';
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'outrigger-cli-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs the real command in a folder of its own, with nothing of our environment but PATH. */
function outrigger(line: string[], environment: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [command, ...line], {
    cwd: folder,
    env: { PATH: process.env['PATH'], HOME: folder, ...environment },
    encoding: 'utf8',
    timeout: 120_000,
  });
  return { status, stdout, stderr };
}

describe('outrigger', () => {
  it.each([[[]], [['--help']]])('%j teaches: what there is, an example each, and the exit codes', (line) => {
    const { status, stdout } = outrigger(line);

    expect(status).toBe(0);
    expect(stdout).toContain('config');
    expect(stdout).toContain('outrigger config print');
    expect(stdout).toContain('Exit codes:');
  });

  it('ends quietly when nobody reads any more, as a signal of the pipe would end it', () => {
    const line = `"${process.execPath}" "${command}" --help | true; echo "\${PIPESTATUS[0]}"`;
    const { stdout, stderr } = spawnSync('bash', ['-c', line], { cwd: folder, encoding: 'utf8', timeout: 120_000 });

    expect([stdout.trim(), stderr]).toEqual(['141', '']);
  });

  it('exits 2 and points to the help for a noun, verb or option that does not exist', () => {
    expect(outrigger(['confg'])).toMatchObject({ status: 2, stderr: expect.stringContaining('outrigger --help') });
    expect(outrigger(['config', 'prin']).status).toBe(2);
    expect(outrigger(['config', 'print', '--nope']).status).toBe(2);
  });
});

describe('K-13 outrigger config print', () => {
  it('shows what is set and where it comes from, and no secret', () => {
    writeFileSync(join(folder, 'outrigger.yaml'), `coder: { token: ${canary}, timeout: 9 }\n`);

    const { status, stdout, stderr } = outrigger(['config', 'print'], {
      OPENROUTER_API_KEY: canary,
      LOG_LEVEL: 'debug',
    });

    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toContain('log_level: "debug"  # the environment, LOG_LEVEL');
    expect(stdout).toMatch(/^coder\.timeout: 9 {2}# .*outrigger\.yaml, CODER_TIMEOUT$/m);
    expect(stdout).toContain('model.api_key: "[redacted]"');
    expect(stdout).not.toContain(canary);
  });

  it('exits 2 and names every bad value, without repeating it', () => {
    const { status, stdout, stderr } = outrigger(['config', 'print'], { CODER_URL: canary, DATABASE_URL: canary });

    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(/CODER_URL must be[\s\S]*DATABASE_URL must be/);
    expect(stderr).not.toContain(canary);
  });
});
