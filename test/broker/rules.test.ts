import { describe, expect, it } from '@jest/globals';
import { isInside, lookupOutside } from '../../service/broker/addresses.ts';
import { packet, flush } from '../../service/broker/pkt-line.ts';
import { reasonAgainst } from '../../service/broker/push-policy.ts';
import { readPushRequest } from '../../service/broker/push-request.ts';
import { readReport, refusalReport } from '../../service/broker/push-report.ts';
import { repositoryOf } from '../../service/broker/repository.ts';
import { listOf } from '../../service/broker/workspace-repositories.ts';

const [zero, one, two] = ['0'.repeat(40), '1'.repeat(40), '2'.repeat(40)] as const;

describe('the address of a repository', () => {
  it.each([
    ['https://github.com/acme/app.git', 'github.com/acme/app'],
    ['https://GitHub.com/acme/App/', 'github.com/acme/App'],
    ['https://git.example.com:8443/group/sub/app', 'git.example.com:8443/group/sub/app'],
    ['git@github.com:acme/app.git', 'github.com/acme/app'],
    ['ssh://git@git.example.com:2222/acme/app', 'git.example.com/acme/app'],
    ['http://127.0.0.1:3000/acme/app', '127.0.0.1:3000/acme/app'],
  ])('%s is %s', (address, name) => {
    const found = repositoryOf(address);
    expect(`${found?.host}/${found?.path}`).toBe(name);
  });

  it.each([
    '',
    'app',
    'http://git.example.com/acme/app',
    'https://ada:token@github.com/acme/app',
    'https://token@github.com/acme/app',
    'https://github.com/',
    'https://github.com/acme/app?x=1',
    'https://github.com/acme/a%00b',
    'https://[::1]/acme/app',
    'file:///etc/passwd',
    'ext::sh -c id',
    'git://github.com/acme/app',
  ])('%p is none that the broker reaches', (address) => {
    expect(repositoryOf(address)).toBeNull();
  });

  it('is read from what the owner of a workspace chose, each once', () => {
    const values = new Map([
      ['git_repository', 'https://github.com/acme/app.git'],
      [
        'more_repositories',
        '["https://github.com/Acme/App","git@github.com:acme/two.git",{"url":"https://a.example/x"},7,null]',
      ],
    ]);
    expect(listOf(values).map(({ host, path }) => `${host}/${path}`)).toEqual([
      'github.com/acme/app',
      'github.com/acme/two',
      'a.example/x',
    ]);
    expect(listOf(new Map([['more_repositories', 'no list']]))).toEqual([]);
  });

  it('is the same with a branch and further words behind it, as the form takes them', () => {
    const chosen = [
      'https://github.com/acme/app#release/2',
      'git@github.com:acme/two.git#a#b',
      'https://github.com/acme/three name=x autoPush=false',
      { url: 'https://a.example/x#y' },
    ];
    const list = listOf(new Map([['more_repositories', JSON.stringify(chosen)]]));

    expect(list.map(({ path }) => path)).toEqual(['acme/app', 'acme/two', 'acme/three']);
  });
});

describe('a branch may be pushed', () => {
  const push = (ref: string, branches = ['agent/*'], next: string = one) =>
    reasonAgainst({ old: zero, new: next, ref }, branches);

  it('below agent/, or as its credential says', () => {
    expect(push('refs/heads/agent/x')).toBeNull();
    expect(push('refs/heads/agent/team/x.y-z')).toBeNull();
    expect(push('refs/heads/release', ['agent/*', 'release'])).toBeNull();
  });

  it.each([
    'refs/heads/main',
    'refs/heads/agent',
    'refs/heads/agent/',
    'refs/heads/agents/x',
    'refs/heads/AGENT/x',
    'refs/heads/agent/../main',
    'refs/heads/agent//x',
    'refs/heads/agent/.x',
    'refs/heads/agent/x.lock',
    'refs/heads/agent/x.lock/y',
    'refs/heads/agent/x y',
    'refs/heads/agent/x~1',
    'refs/heads/agent/ä',
    'refs/tags/agent/x',
    'refs/for/main',
    'refs/meta/config',
    'agent/x',
    'HEAD',
  ])('and not as %s', (ref) => {
    expect(push(ref)).toMatch(/from here/);
  });

  it('but not deleted', () => {
    expect(push('refs/heads/agent/x', ['agent/*'], zero)).toMatch(/deleted/);
  });
});

describe('the list of commands in a push', () => {
  const read = (...pieces: Buffer[]) => readPushRequest(pieces.values() as never);
  const command = (text: string): Buffer => packet(text);
  const good = [
    command(`${zero} ${one} refs/heads/agent/a\0 report-status side-band-64k agent=git/2`),
    command(`${one} ${two} refs/heads/agent/b\n`),
    flush,
    Buffer.from('PACK...'),
  ];

  it('is read up to its end and not further, however it is cut', async () => {
    const whole = Buffer.concat([packet(`shallow ${two}`), ...good]);
    for (const size of [1, 3, 7, 64, whole.length]) {
      const pieces = Array.from({ length: Math.ceil(whole.length / size) }, (_, n) =>
        whole.subarray(n * size, (n + 1) * size),
      );
      const seen = await read(...pieces);
      expect(seen.commands).toEqual([
        { old: zero, new: one, ref: 'refs/heads/agent/a' },
        { old: one, new: two, ref: 'refs/heads/agent/b' },
      ]);
      expect([...seen.capabilities]).toEqual(['report-status', 'side-band-64k', 'agent=git/2']);
      expect(whole.subarray(0, seen.head.length + seen.rest.length)).toEqual(Buffer.concat([seen.head, seen.rest]));
      expect(whole.subarray(seen.head.length).toString()).toBe('PACK...');
    }
  });

  it.each<[string, Buffer[]]>([
    ['a signed push', [command(`push-cert\0report-status`), flush]],
    ['push options', [command(`${zero} ${one} refs/heads/agent/a\0report-status push-options`), flush]],
    ['a command that is none', [command('delete everything'), flush]],
    ['ids of two lengths', [command(`${zero} ${'1'.repeat(64)} refs/heads/agent/a`), flush]],
    ['a second list of capabilities', [command(`${zero} ${one} a\0x`), command(`${zero} ${one} b\0y`), flush]],
    ['a line break in a name', [command(`${zero} ${one} refs/heads/agent/a\nx`), flush]],
    ['an endless name', [command(`${zero} ${one} refs/heads/agent/${'a'.repeat(300)}`), flush]],
    [
      'too many commands',
      [...Array.from({ length: 21 }, (_, n) => command(`${zero} ${one} refs/heads/agent/${n}`)), flush],
    ],
    ['no length', [Buffer.from('zzzz')]],
    ['a length that is too small', [Buffer.from('0003')]],
    ['a delimiter of another protocol', [Buffer.from('0001')]],
    ['an early end', [good[0] ?? flush]],
    ['nothing', []],
  ])('is refused with %s', async (_what, pieces) => {
    await expect(read(...pieces)).rejects.toMatchObject({ kind: 'invalid', code: 'git_push_malformed' });
  });

  it('may be empty, as git asks before a large push', async () => {
    expect((await read(flush)).commands).toEqual([]);
  });
});

describe('a report', () => {
  const commands = [{ old: zero, new: one, ref: 'refs/heads/main' }];
  it.each([['report-status'], ['report-status side-band-64k']])('of a refusal is one that git reads (%s)', (words) => {
    const capabilities = new Set(words.split(' '));
    const report = refusalReport(commands, new Map([['refs/heads/main', 'not here']]), capabilities);
    expect(readReport(report ?? Buffer.alloc(0), capabilities)).toEqual({
      unpack: 'ok',
      refs: new Map([['refs/heads/main', 'not here']]),
    });
  });
  it('is not made for a client that wants none, nor read out of anything else', () => {
    expect(refusalReport(commands, new Map(), new Set())).toBeNull();
    expect(readReport(Buffer.from('<html>'), new Set())).toBeNull();
    expect(readReport(Buffer.alloc(0), new Set(['side-band-64k']))).toBeNull();
  });
});

describe('this machine and its link', () => {
  it.each([
    '127.0.0.1',
    '127.9.9.9',
    '0.0.0.0',
    '169.254.169.254',
    '::1',
    '::',
    'fe80::1',
    '::ffff:127.0.0.1',
    '::ffff:7f00:1',
    'ff02::1',
    '255.255.255.255',
  ])('%s is never dialled', (address) => expect(isInside(address)).toBe(true));
  it.each(['140.82.121.4', '10.0.0.5', '2606:50c0::1', 'git.example.com'])('%s may be', (address) =>
    expect(isInside(address)).toBe(false),
  );
  it('are found behind a name too', async () => {
    const error = await new Promise((resolve) => lookupOutside('localhost', { all: true }, resolve));
    expect(error).toMatchObject({ code: 'EINSIDE' });
  });
});
