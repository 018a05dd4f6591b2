import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { listSecrets, rotateSecrets, secretCommand, setSecret } from '../../scripts/secret.ts';
import { startTestService, type TestService } from '../support/service.ts';
import { ran, type Ran } from './template-harness.ts';

let outrigger: TestService;
let folder: string;
beforeAll(async () => {
  outrigger = await startTestService();
  folder = mkdtempSync(join(tmpdir(), 'outrigger-secret-'));
});
afterAll(async () => {
  await outrigger.stop();
  rmSync(folder, { recursive: true, force: true });
});

const flags = { output: 'text', scope: 'owner' as const };
const asAda = (run: Parameters<typeof ran>[1]): Promise<Ran> =>
  ran({ coderUrl: outrigger.coder.url, token: outrigger.people.ada.token, home: folder }, run);

describe('outrigger secret', () => {
  it('takes values from standard input and files, shows what is overdue and never a value, and rotates', async () => {
    const value = `canary-${randomBytes(8).toString('hex')}`;
    const file = join(folder, 'token.txt');
    writeFileSync(file, `${value}\n`);
    const service = outrigger.url;
    const given = { ...flags, service, key: 'typed', fromFile: [`token=${file}`], rotateAfter: '2020-01-31' };

    const outputs = [
      await asAda((around) => setSecret('mine', given, around, () => `${value}\r\n`)),
      await asAda((around) => listSecrets({ ...flags, service }, around)),
      await asAda((around) => rotateSecrets({ ...flags, service }, around)),
    ];

    expect(outputs.map(({ code }) => code)).toEqual([0, 0, 0]);
    expect(outputs[1]?.stdout).toMatch(/^mine {2}token typed {2}written \S+ {2}OVERDUE since 2020-01-31T00:00:00.000Z/);
    expect(outputs[2]?.stdout).toMatch(/^2 values have new data keys/);
    expect(JSON.stringify(outputs)).not.toContain(value);
  });

  it.each([
    ['no value', {}],
    ['a file that there is none', { fromFile: ['token=/nowhere/x'] }],
    ['a file without a key', { fromFile: ['/etc/hostname'] }],
    ['a date that is none', { key: 'k', rotateAfter: 'soon' }],
  ])('refuses %s with exit code 2', async (_what, rest) => {
    const { code } = await asAda((around) =>
      setSecret('mine', { ...flags, service: outrigger.url, ...rest }, around, () => 'x'),
    );

    expect(code).toBe(2);
  });

  it('has no option that takes a value', () => {
    const set = secretCommand().commands.find((one) => one.name() === 'set');
    expect(set?.options.map(({ long }) => long)).not.toContain('--value');
    expect(set?.registeredArguments.map((argument) => argument.name())).toEqual(['name']);
  });
});
