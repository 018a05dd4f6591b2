import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { checkApproval, checkMachine, stacksOf } from '../../scripts/deploy.ts';

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly engines: { readonly node: string };
}

const manifest = (path: string): Manifest =>
  JSON.parse(readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')) as Manifest;
const terraform = 'Terraform v1.11.4\non linux_amd64';

describe('what the cdktf command needs', () => {
  it.each([['22.19.0'], ['22.23.3'], ['24.0.0']])('is there with Node %s', (node) => {
    expect(() => checkMachine({ node, terraform })).not.toThrow();
  });

  it.each([['20.20.2'], ['22.18.9'], ['18.0.0']])(
    'is not there with Node %s, and the refusal names what is',
    (node) => {
      expect(() => checkMachine({ node, terraform })).toThrow(`needs Node 22.19 or newer, and this is ${node}`);
    },
  );

  it.each([
    [undefined, 'there is none in PATH'],
    ['Terraform v1.10.5', 'this is 1.10.5'],
  ])('is not there with Terraform %j', (found, message) => {
    expect(() => checkMachine({ node: '22.19.0', terraform: found })).toThrow(message);
  });

  it('is what its package asks for, in the version of the library it drives', () => {
    const { dependencies, engines } = manifest('stacks/deploy/package.json');

    expect(engines.node).toBe('>=22.19');
    expect(manifest('package.json').dependencies['cdktf']).toBe(`npm:cdktn@${dependencies['cdktn-cli'] ?? ''}`);
  });
});

describe('the stacks that a command names', () => {
  it('are those among its arguments', () => {
    expect(stacksOf(['deploy', 'docker-service', '--auto-approve'], {})).toEqual(['docker-service']);
    expect(stacksOf(['list'], {})).toEqual([]);
  });

  it('may not be the catalog while its state would be plain', () => {
    expect(() => stacksOf(['deploy', 'coder-catalog'], {})).toThrow('does not promise to encrypt');
    expect(stacksOf(['deploy', 'coder-catalog'], { OUTRIGGER_ALLOW_PLAIN_STATE: 'true' })).toEqual(['coder-catalog']);
  });
});

describe('a deploy without a terminal', () => {
  it.each([['deploy'], ['destroy']])('is refused at %s unless it was approved before: it would do nothing', (verb) => {
    expect(() => checkApproval([verb, 'docker-service'], false)).toThrow('add --auto-approve');
    expect(() => checkApproval([verb, 'docker-service', '--auto-approve'], false)).not.toThrow();
    expect(() => checkApproval([verb, 'docker-service'], true)).not.toThrow();
  });

  it('may list, synthesize and compare', () => {
    for (const verb of ['list', 'synth', 'diff']) expect(() => checkApproval([verb], false)).not.toThrow();
  });
});
