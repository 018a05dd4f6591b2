import { createHash } from 'node:crypto';
import { afterEach, describe, expect, it } from '@jest/globals';
import {
  chooseAddress,
  isThisMachine,
  thisMachine,
  type AddressParts,
  type Machine,
} from '../../scripts/up/address.ts';
import { bridgeAddress, type Docker } from '../../scripts/up/docker.ts';
import { startPassingRegistry } from '../../scripts/up/passing-registry.ts';

const machineWith = (...addresses: string[]): Machine => ({
  addresses,
  has: (address) => Promise.resolve(addresses.includes(address)),
});
const far: AddressParts = {
  coderUrl: 'https://coder.example.com',
  isCoderHere: false,
  given: undefined,
  port: 7676,
  isInsecureAllowed: false,
  machine: machineWith('127.0.0.1', '192.0.2.7', '172.17.0.1'),
  gateway: () => Promise.resolve('172.17.0.1'),
  ask: undefined,
  say: () => undefined,
};
const near: AddressParts = { ...far, coderUrl: 'http://localhost:3000', isCoderHere: true };

describe('the address that workspaces are given', () => {
  it('is Docker’s bridge where Coder is on this machine, also instead of a loopback address', async () => {
    const bridge = { url: 'http://172.17.0.1:7676', listen: '172.17.0.1:7676' };

    expect(await chooseAddress(near)).toEqual(bridge);
    expect(await chooseAddress({ ...near, given: 'http://localhost:7676' })).toEqual(bridge);
    expect(await chooseAddress({ ...near, given: 'http://127.0.0.1:8080/' })).toEqual({
      url: 'http://172.17.0.1:8080',
      listen: '172.17.0.1:8080',
    });
  });

  it('is refused where the bridge is not on this machine', async () => {
    await expect(chooseAddress({ ...near, gateway: () => Promise.resolve('172.30.0.1') })).rejects.toThrow('--url');
    await expect(chooseAddress({ ...near, gateway: () => Promise.resolve(null) })).rejects.toThrow('Docker Desktop');
  });

  it.each([
    ['its gateway', [{ Subnet: '172.17.0.0/16', Gateway: '172.17.0.1' }], '172.17.0.1'],
    ['ours in its subnet, where it tells no gateway', [{ Subnet: '172.17.0.0/16' }], '172.17.0.1'],
    ['none, where the gateway is another machine’s', [{ Subnet: '172.30.0.0/16', Gateway: '172.30.0.1' }], null],
    ['none, where it has no addresses', null, null],
  ])('is found at the bridge: %s', async (_what, told, expected) => {
    const docker: Docker = () => Promise.resolve({ code: 0, stdout: JSON.stringify(told), stderr: '' });

    expect(await bridgeAddress(docker, far.machine)).toBe(expected);
  });

  it.each([
    ['its gateway', [{ Subnet: '172.17.0.0/16', Gateway: '172.17.0.254' }], '172.17.0.254'],
    ['the first of its subnet, where it tells no gateway', [{ Subnet: '172.17.0.0/16' }], '172.17.0.1'],
  ])('is found at a bridge that is down because no container runs: %s', async (_what, told, expected) => {
    const docker: Docker = () => Promise.resolve({ code: 0, stdout: JSON.stringify(told), stderr: '' });
    const machine: Machine = { addresses: ['192.0.2.7'], has: (address) => Promise.resolve(address === expected) };
    const gateway = () => bridgeAddress(docker, machine);

    expect(await gateway()).toBe(expected);
    expect(await chooseAddress({ ...near, machine, gateway })).toEqual({
      url: `http://${expected}:7676`,
      listen: `${expected}:7676`,
    });
  });

  it('is one of this machine’s where it can be listened on, also when no interface lists it', async () => {
    const machine = thisMachine();
    const unlisted = '127.83.5.9';

    expect(machine.addresses).not.toContain(unlisted);
    // Linux answers at all of 127.0.0.0/8, and lists the first of them only.
    expect(await machine.has(unlisted)).toBe(process.platform === 'linux');
    expect(await machine.has('127.0.0.1')).toBe(true);
    expect(await machine.has('203.0.113.9')).toBe(false);
    expect(await machine.has('a-name.invalid')).toBe(false);
  });

  it('is not this machine’s where the kernel lets anybody listen at any address', async () => {
    const anywhere = thisMachine(() => Promise.resolve(true));

    for (const address of ['203.0.113.9', '2001:db8::9']) expect(await anywhere.has(address)).toBe(false);
    expect(await anywhere.has('127.0.0.1')).toBe(true);
  });

  it('is what was given, and listened on only where it is this machine’s and plain http', async () => {
    expect(await chooseAddress({ ...far, given: 'https://outrigger.invalid/' })).toEqual({
      url: 'https://outrigger.invalid',
      listen: null,
    });
    expect(await chooseAddress({ ...far, isInsecureAllowed: true, given: 'http://192.0.2.7:8000' })).toEqual({
      url: 'http://192.0.2.7:8000',
      listen: '192.0.2.7:8000',
    });
  });

  it.each([
    ['http://127.0.0.1:7676', 'is the workspace itself'],
    ['http://localhost', 'is the workspace itself'],
    ['http://192.0.2.7:7676', 'ALLOW_INSECURE_HTTP'],
    ['192.0.2.7:7676', 'https://outrigger.example.com'],
    ['https://person:word@outrigger.example.com', 'https://outrigger.example.com'],
  ])('is not %s for a Coder elsewhere: %s', async (given, sentence) => {
    await expect(chooseAddress({ ...far, given })).rejects.toThrow(sentence);
  });

  it('is asked for where it cannot be known, and refused where nobody is there to be asked', async () => {
    const questions: string[] = [];
    const ask = (answer: string) => (question: string) => {
      questions.push(question);
      return Promise.resolve(answer);
    };

    expect((await chooseAddress({ ...far, ask: ask('https://outrigger.invalid') })).url).toBe(
      'https://outrigger.invalid',
    );
    expect((await chooseAddress({ ...far, isInsecureAllowed: true, ask: ask('') })).url).toBe('http://192.0.2.7:7676');
    expect(questions[0]).toContain('https://coder.example.com');
    await expect(chooseAddress({ ...far, ask: ask('http://localhost:7676') })).rejects.toThrow('--url');
    await expect(chooseAddress(far)).rejects.toThrow('--url http://192.0.2.7:7676');
  });

  it('tells a Coder of this machine by its address', async () => {
    expect(await isThisMachine('http://localhost:3000', machineWith())).toBe(true);
    expect(await isThisMachine('http://192.0.2.7:3000', far.machine)).toBe(true);
    expect(await isThisMachine('http://192.0.2.8:3000', far.machine)).toBe(false);
    expect(await isThisMachine('https://coder.invalid', far.machine)).toBe(false);
  });
});

describe('the registry that gives local images a digest', () => {
  const open: Awaited<ReturnType<typeof startPassingRegistry>>[] = [];
  afterEach(async () => {
    for (const one of open.splice(0)) await one.close();
  });
  const sha256 = (text: string): string => `sha256:${createHash('sha256').update(text).digest('hex')}`;

  it('takes a blob and a manifest by the digest of their bytes, and keeps none', async () => {
    const registry = await startPassingRegistry();
    open.push(registry);
    const at = (path: string): string => new URL(path, `http://${registry.host}`).href;
    const upload = await fetch(at('/v2/team/base/blobs/uploads/'), { method: 'POST' });
    const place = at(upload.headers.get('location') ?? '');

    expect((await fetch(at('/v2/'))).status).toBe(200);
    expect((await fetch(place, { method: 'PATCH', body: 'layer' })).status).toBe(202);
    expect((await fetch(`${place}?digest=${sha256('layer')}`, { method: 'PUT' })).status).toBe(201);
    const blob = await fetch(at(`/v2/team/base/blobs/${sha256('layer')}`), { method: 'HEAD' });
    expect([blob.status, blob.headers.get('content-length')]).toEqual([200, '5']);
    const manifest = await fetch(at('/v2/team/base/manifests/1'), { method: 'PUT', body: '{}' });
    expect(manifest.headers.get('docker-content-digest')).toBe(sha256('{}'));
    expect((await fetch(at(`/v2/team/base/blobs/${sha256('layer')}`))).status).toBe(404);
  });

  it('refuses bytes that are not those of the digest', async () => {
    const registry = await startPassingRegistry();
    open.push(registry);
    const upload = await fetch(`http://${registry.host}/v2/base/blobs/uploads/`, { method: 'POST' });
    const place = `http://${registry.host}${upload.headers.get('location')}`;

    const ended = await fetch(`${place}?digest=${sha256('layer')}`, { method: 'PUT', body: 'another' });

    expect(ended.status).toBe(400);
  });
});
