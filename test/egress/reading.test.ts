import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import { describe, expect, it } from '@jest/globals';
import { makeAddressRule } from '../../modules/egress/addresses.ts';
import { entryOfUrl, findEntry, parseEntry } from '../../modules/egress/allow-list.ts';
import { makeBodyFrame } from '../../modules/egress/body-frame.ts';
import { readHello } from '../../modules/egress/client-hello.ts';
import { parseAuthority, plainName } from '../../modules/egress/host-name.ts';
import { makeInbox } from '../../modules/egress/inbox.ts';
import { startEgressProxy } from '../../modules/egress/proxy.ts';
import { parseHead, plainRequest } from '../../modules/egress/request-head.ts';
import { readSettings } from '../../modules/egress/settings.ts';
import { egressEntryPattern } from '../../modules/contract.ts';

const entries = (...texts: string[]) => texts.map((text) => parseEntry(text)!);
const allows = (list: readonly string[], host: string, port = 443) =>
  findEntry(entries(...list), { host, port }) !== null;

describe('what a workspace may reach', () => {
  it.each([
    ['Example.COM.', 'example.com'],
    ['xn--bcher-kva.example', 'xn--bcher-kva.example'],
    ['localhost', 'localhost'],
    ['bücher.example', null],
    ['10.0.0.1', null],
    ['127.1', null],
    ['0x7f.1', null],
    ['2130706433', null],
    ['[::1]', null],
    ['a..b', null],
    ['', null],
    [`${'a'.repeat(64)}.example`, null],
  ])('reads %j as the name %j', (text, name) => {
    expect(plainName(text)).toBe(name);
  });

  it('reads a port only where one is written, and none that is no port', () => {
    expect(parseAuthority('a.example:8443', 443)).toEqual({ host: 'a.example', port: 8443 });
    expect(parseAuthority('a.example', 443)?.port).toBe(443);
    for (const text of ['a.example:0', 'a.example:65536', 'a.example:', 'a.example:80:81', 'a@b.example:80'])
      expect(parseAuthority(text, 443)).toBeNull();
  });

  it('lets a star stand for what is below a name, and a port for that port alone', () => {
    expect(allows(['example.com'], 'example.com')).toBe(true);
    expect(allows(['example.com'], 'a.example.com')).toBe(false);
    expect(allows(['*.example.com'], 'a.b.example.com', 80)).toBe(true);
    expect(allows(['*.example.com'], 'example.com')).toBe(false);
    expect(allows(['*.example.com'], 'badexample.com')).toBe(false);
    expect(allows(['example.com:8443'], 'example.com')).toBe(false);
    expect(allows(['example.com:8443'], 'example.com', 8443)).toBe(true);
  });

  it('refuses entries that are none, as the pattern of the contract does', () => {
    const pattern = new RegExp(egressEntryPattern);
    for (const text of [
      '*',
      '*.',
      'a.*.example',
      'a*.example',
      'https://a.example',
      'a.example/x',
      'a.example:0',
      'a b',
    ]) {
      expect(parseEntry(text)).toBeNull();
      expect(pattern.test(text)).toBe(false);
    }
    for (const text of ['a.example', '*.a.example:8443', 'localhost']) expect(pattern.test(text)).toBe(true);
  });

  it('prefers the entry of the installation, which may lie in a private network', () => {
    const ours = entryOfUrl('https://coder.example.com');
    expect(ours).toMatchObject({ name: 'coder.example.com', ports: [443], isOurs: true });
    expect(findEntry([...entries('*.example.com'), ours!], { host: 'coder.example.com', port: 443 })?.isOurs).toBe(
      true,
    );
    expect(entryOfUrl('http://127.0.0.1:7676')).toBeNull();
  });

  it('knows every spelling of an address inside', () => {
    const rule = makeAddressRule(['10.1.0.0/16'], ['203.0.113.1']);
    const inside = ['10.0.0.1', '172.31.0.1', '192.168.1.1', '100.64.0.1', 'fc00::1'];
    const never = [
      '127.0.0.1',
      '169.254.169.254',
      '0.0.0.0',
      '203.0.113.1',
      '::1',
      'fe80::1',
      'fd00:ec2::254',
      '255.255.255.255',
    ];
    const carriers = ['::ffff:8.8.8.8', '::ffff:10.0.0.1', '64:ff9b::808:808', '2002:a00:1::', '2001::1', '::8.8.8.8'];
    for (const one of inside) expect([rule.mayReach(one, false), rule.mayReach(one, true)]).toEqual([false, true]);
    for (const one of [...never, ...carriers, 'x', ''])
      expect([one, rule.mayReach(one, false), rule.mayReach(one, true)]).toEqual([one, false, false]);
    for (const one of ['8.8.8.8', '2001:4860:4860::8888', '10.1.2.3']) expect(rule.mayReach(one, false)).toBe(true);
  });

  it('passes on a body and nothing behind it, however it is cut', () => {
    const bytes = Buffer.from('3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\n');
    for (let cut = 1; cut < bytes.length; cut += 1) {
      const frame = makeBodyFrame({ kind: 'chunked' });
      const out = frame.feed(bytes.subarray(0, cut)).toString() + frame.feed(bytes.subarray(cut)).toString();
      expect(out).toBe('3\r\nabc\r\n0\r\n\r\n');
      expect(frame.isDone()).toBe(true);
    }
    expect(makeBodyFrame({ kind: 'length', bytes: 2 }).feed(Buffer.from('abc')).toString()).toBe('ab');
  });

  it('reads a hello that is cut anywhere, and none in random bytes', () => {
    const name = Buffer.from('a.example');
    const two = (value: number): Buffer => Buffer.from([value >> 8, value & 255]);
    const list = Buffer.concat([Buffer.from([0]), two(name.length), name]);
    const extension = Buffer.concat([two(0), two(list.length + 2), two(list.length), list]);
    const body = Buffer.concat([
      Buffer.from([3, 3]),
      Buffer.alloc(32),
      Buffer.from([0, 0, 2, 19, 1, 1, 0]),
      two(extension.length),
      extension,
    ]);
    const message = Buffer.concat([Buffer.from([1, 0]), two(body.length), body]);
    for (let cut = 1; cut < message.length; cut += 1) {
      const records = [message.subarray(0, cut), message.subarray(cut)].map((part) =>
        Buffer.concat([Buffer.from([22, 3, 1]), two(part.length), part]),
      );
      const whole = Buffer.concat(records);
      expect(readHello(whole)).toEqual({ kind: 'name', name: 'a.example' });
      // As one that resumes sends it: a change of ciphers and early data come right behind.
      const behind = Buffer.from([20, 3, 3, 0, 1, 1, 23, 3, 3, 0, 1, 7]);
      expect(readHello(Buffer.concat([whole, behind]))).toEqual({ kind: 'name', name: 'a.example' });
      expect(readHello(whole.subarray(0, cut)).kind).toBe('incomplete');
    }
    expect(readHello(Buffer.from('GET / HTTP/1.1\r\n'))).toEqual({ kind: 'bad', why: 'not_tls' });
    expect(readHello(Buffer.from([22, 3, 1, 0, 1, 2])).kind).toBe('incomplete');
    expect(readHello(Buffer.from([22, 3, 1, 0, 4, 2, 0, 0, 0]))).toEqual({ kind: 'bad', why: 'not_tls' });
  });

  it('writes a request anew: a path, one Host, nothing of the connection', () => {
    const head = parseHead(
      Buffer.from(
        'GET http://A.example/x?y HTTP/1.1\r\nhost: a.example:80\r\nConnection: x-one\r\nX-One: 1\r\nX-Two: 2\r\nProxy-Authorization: no\r\n\r\n',
      ),
    );
    expect(plainRequest(head, null).head).toBe(
      'GET /x?y HTTP/1.1\r\nhost: a.example\r\nx-two: 2\r\nconnection: close\r\n\r\n',
    );
  });

  it('names the setting that is wrong', () => {
    const good = {
      OUTRIGGER_EGRESS: 'allowlist',
      OUTRIGGER_URL: 'http://o.example',
      OUTRIGGER_CODER_URL: 'https://c.example',
    };
    expect(readSettings(good).entries.map(({ name }) => name)).toEqual(['o.example', 'c.example']);
    expect(
      readSettings({ ...good, OUTRIGGER_EGRESS: 'local-only', OUTRIGGER_EGRESS_HOSTS: 'x.example' }).entries,
    ).toHaveLength(2);
    expect(() => readSettings({ ...good, OUTRIGGER_EGRESS: 'open' })).toThrow('OUTRIGGER_EGRESS must be');
    expect(() => readSettings({ ...good, OUTRIGGER_CODER_URL: 'x' })).toThrow('OUTRIGGER_CODER_URL must be');
    expect(() => readSettings({ ...good, OUTRIGGER_EGRESS_PRIVATE: '10.0.0.1' })).toThrow('"10.0.0.1" is no range');
  });

  it('leaves out of the list what is no host, because an owner may have named it, and goes on with the rest', () => {
    const { entries: found, unread } = readSettings({
      OUTRIGGER_EGRESS: 'allowlist',
      OUTRIGGER_URL: 'http://o.example',
      OUTRIGGER_CODER_URL: 'https://c.example',
      OUTRIGGER_EGRESS_HOSTS: 'a.example,10.0.0.5,git.example:99999,https://x,*.b.example',
    });

    expect(found.map(({ name }) => name)).toEqual(['o.example', 'c.example', 'a.example', 'b.example']);
    expect(unread).toEqual(['10.0.0.5', 'git.example:99999', 'https://x']);
  });

  it('says of what it refused only what can be printed, so that the service takes it', async () => {
    const refused: string[] = [];
    const proxy = await startEgressProxy({
      ...{ host: '127.0.0.1', port: 0, entries: () => [], addresses: makeAddressRule([], []) },
      resolve: () => Promise.reject(new Error('nothing is resolved')),
      onRefused: ({ host }) => void refused.push(host),
    });
    try {
      const client = connect(proxy.port, '127.0.0.1').setEncoding('latin1');
      let answer = '';
      client.on('data', (text: string) => void (answer += text));
      client.write('CONNECT b\u00fccher.example:443 HTTP/1.1\r\n\r\n', 'latin1');
      await once(client, 'close');

      expect(refused).toEqual(['b?cher.example:443']);
      expect(answer).toMatch(/^HTTP\/1\.1 403 [\s\S]*b\?cher\.example/);
    } finally {
      await proxy.close();
    }
  });

  it('holds little of what comes before a decision, and loses none of it', async () => {
    const stream = new PassThrough();
    const inbox = makeInbox(stream as unknown as Socket);
    const pieces = 64;
    for (let piece = 0; piece < pieces; piece += 1) stream.write(Buffer.alloc(64 * 1024));
    stream.end();
    await new Promise((resolve) => setImmediate(resolve));
    expect(stream.isPaused()).toBe(true);

    let came = 0;
    const ended = once(stream, 'end');
    inbox.flow((piece) => {
      came += piece.length;
      return true;
    });
    await ended;

    expect(came).toBe(pieces * 64 * 1024);
  });
});
