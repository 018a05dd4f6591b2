import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

const script = fileURLToPath(new URL('../../../modules/opencode/enter.sh', import.meta.url));
const fixture = JSON.parse(
  readFileSync(new URL('../../fixtures/executor/devbox-env.json', import.meta.url), 'utf8'),
) as Record<string, string>;

const succeeds = (program: string, ...argv: string[]): boolean =>
  spawnSync(program, argv, { stdio: 'ignore' }).status === 0;
/** Mounts and user ids can be changed only by root. */
const asRoot = process.getuid?.() === 0 && succeeds('unshare', '-m', 'true') ? it : it.skip;
const inNewRoot = succeeds('unshare', '-r', 'true') ? it : it.skip;

let root: string;
let home: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'outrigger-enter-'));
  home = join(root, 'home');
  mkdirSync(home);
});
afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

type Environment = Readonly<Record<string, string>>;

/** Starts a program with nothing in its environment but what is given and a usual PATH. */
function start(argv: readonly string[], environment: Environment = {}) {
  const [program = '', ...rest] = argv;
  return spawnSync(program, rest, { encoding: 'utf8', env: { PATH: '/usr/bin:/bin', HOME: home, ...environment } });
}

const parse = (stdout: string): Environment =>
  Object.fromEntries(
    stdout
      .split('\0')
      .filter((line) => line !== '')
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );

/** The environment that a command finds behind `enter`. */
function inside(environment: Environment = {}, before: readonly string[] = [], path = script): Environment {
  const finished = start([...before, 'sh', path, 'env', '-0'], environment);
  expect(finished).toMatchObject({ status: 0, stderr: '' });
  return parse(finished.stdout);
}

/** Words before a command that run it where these commands of root have been done first. */
const after = (commands: string): readonly string[] => ['unshare', '-m', 'sh', '-c', `${commands} && exec "$@"`, 'sh'];

describe('/tools/enter', () => {
  it.each([['dash'], ['bash'], ['zsh'], ['busybox', 'sh']].filter(([name = '']) => succeeds('which', name)))(
    'becomes the command under %s, with every argument as it was given',
    (...shell) => {
      const words = ['a b', '', '"$(id)"', "'", '-n'];
      const finished = start([...shell, script, 'sh', '-c', 'echo $$; printf "<%s>" "$@"', 'sh', ...words]);

      expect(finished.stderr).toBe('');
      expect(finished.stdout).toBe(`${String(finished.pid)}\n${words.map((word) => `<${word}>`).join('')}`);
    },
  );

  it('ends as its command ends, and says so when there is none', () => {
    expect(start(['sh', script, 'sh', '-c', 'exit 7']).status).toBe(7);
    expect(start(['sh', script])).toMatchObject({ status: 2, stderr: expect.stringContaining('no command was given') });
  });

  it('puts /tools first in PATH, once (part of O-68)', () => {
    expect(inside().PATH).toBe('/tools:/usr/bin:/bin');
    expect(inside({ PATH: '/tools:/usr/bin:/bin' }).PATH).toBe('/tools:/usr/bin:/bin');
  });

  it('calls the workspace by both of its names (part of C-02)', () => {
    expect(inside({ WORKSPACE_DIR: '/elsewhere' })).toMatchObject({
      WORKSPACE_DIR: '/elsewhere',
      WORKSPACE_PATH: '/elsewhere',
    });
  });

  it("O-24 keeps Go's folders in the home, and where the home cannot be written has what devbox-env.json says", () => {
    expect(inside()).toMatchObject({ HOME: home, GOPATH: `${home}/go`, GOMODCACHE: `${home}/go/pkg/mod` });
    expect(inside({ HOME: join(root, 'missing') })).toMatchObject(fixture);
  });

  describe('under the user ids that a cluster gives', () => {
    const user = (uid: string) => ['setpriv', `--reuid=${uid}`, '--regid=0', '--clear-groups'];
    const coderHome = (mode: string): readonly string[] =>
      after(`mount -t tmpfs none /home && mkdir -m ${mode} /home/coder && chown 1000:0 /home/coder`);

    asRoot.each(['1000', '100012345'])('O-23 O-43 has /home/coder as %s:0 where it can write, else /tmp', (uid) => {
      const open = inside({ HOME: '/' }, [...coderHome('0775'), ...user(uid)]);
      expect(open.HOME).toBe('/home/coder');

      const closed = inside({ HOME: '/home/coder' }, [...coderHome('0555'), ...user(uid)]);
      expect(closed).toMatchObject(fixture);
    });

    asRoot('needs nothing but /tmp where the root is read-only', () => {
      const certificate = join(root, 'tls.crt');
      writeFileSync(certificate, '-----BEGIN CERTIFICATE-----\nmine\n-----END CERTIFICATE-----\n');
      chmodSync(root, 0o755);
      const readOnly = after(
        `mount --bind '${root}' /mnt && mount -t tmpfs -o mode=1777 none /tmp && mount -o remount,bind,ro /`,
      );

      copyFileSync(script, join(root, 'enter'));

      const environment = { HOME: '/root', CUSTOM_CA_CERT_PATH: '/mnt/tls.crt' };
      const found = inside(environment, [...readOnly, ...user('100012345')], '/mnt/enter');

      expect(found).toMatchObject(fixture);
      expect(found.SSL_CERT_FILE).toMatch(/^\/tmp\/outrigger-ca\./);
    });

    asRoot('O-22 offers zsh where it is, else bash', () => {
      const shellWithout = (...names: readonly string[]): string | undefined => {
        const hide = names.map((name) => `{ ! [ -e ${name} ] || mount --bind /dev/null ${name}; }`).join(' && ');
        return inside({}, after(hide === '' ? 'true' : hide)).SHELL;
      };
      const zsh = ['/bin/zsh', '/usr/bin/zsh'];

      if (succeeds('test', '-x', '/bin/zsh')) expect(shellWithout()).toBe('/bin/zsh');
      expect(shellWithout(...zsh)).toBe('/bin/bash');
      expect(shellWithout(...zsh, '/bin/bash', '/usr/bin/bash')).toBe('/bin/sh');
    });
  });
});

describe('certificates behind /tools/enter', () => {
  const names = ['SSL_CERT_FILE', 'GIT_SSL_CAINFO', 'CURL_CA_BUNDLE', 'REQUESTS_CA_BUNDLE', 'NODE_EXTRA_CA_CERTS'];
  const mine = '-----BEGIN CERTIFICATE-----\nbWluZQ==\n-----END CERTIFICATE-----';
  const given = (text: string): Environment => {
    writeFileSync(join(root, 'tls.crt'), text);
    writeFileSync(join(root, 'own.pem'), 'the image’s own');
    return { CUSTOM_CA_CERT_PATH: join(root, 'tls.crt'), SSL_CERT_FILE: join(root, 'own.pem'), TMPDIR: root };
  };

  it('are those of the image and of the admin, in one file that only its user reads (part of C-12)', () => {
    const found = inside(given(mine));
    const bundle = found.SSL_CERT_FILE ?? '';

    for (const name of names) expect(found[name]).toBe(bundle);
    expect(readFileSync(bundle, 'utf8')).toBe(`the image’s own\n${mine}\n`);
    expect(start(['stat', '-c', '%a', join(bundle, '..')]).stdout).toBe('700\n');
  });

  it('are joined once, however many shells lie in one another', () => {
    const outer = start(['sh', script, 'sh', script, 'env', '-0'], given(mine));

    expect(outer.stdout.split('\0')).toContain(`SSL_CERT_FILE=${parse(outer.stdout).OUTRIGGER_CA_BUNDLE ?? '?'}`);
    expect(start(['sh', '-c', 'ls -d "$0"/outrigger-ca.*', root]).stdout.trim().split('\n')).toHaveLength(1);
  });

  it('stay those of the image where the admin gave none, or something that is none', () => {
    expect(inside({ CUSTOM_CA_CERT_PATH: join(root, 'missing') })).not.toHaveProperty('SSL_CERT_FILE');

    const finished = start(['sh', script, 'env', '-0'], given('no certificate'));
    expect(finished.stderr).toContain('holds no certificate in PEM form');
    expect(parse(finished.stdout).SSL_CERT_FILE).toBe(join(root, 'own.pem'));
  });

  const canServe = ['openssl', 'curl'].every((program) => succeeds('which', program)) ? it : it.skip;
  canServe('make curl trust a server whose certificate the admin gave', () => {
    const [key, certificate] = [join(root, 'key.pem'), join(root, 'tls.crt')];
    const request = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost'];
    succeeds('openssl', ...request, '-addext', 'subjectAltName=DNS:localhost', '-keyout', key, '-out', certificate);
    // The server ends with the shell that started it.
    const serve = `require('https').createServer({ key: require('fs').readFileSync('${key}'), cert: require('fs').readFileSync('${certificate}') }, (q, r) => r.end('hello')).listen(0, '127.0.0.1', function () { console.log(this.address().port) })`;
    const ask = `rm -f '${root}/port'; '${process.execPath}' -e "$0" > '${root}/port' & server=$!
      until [ -s '${root}/port' ]; do :; done
      curl -sS --noproxy '*' "https://localhost:$(cat '${root}/port')/"; code=$?; kill $server; exit $code`;

    expect(start(['sh', '-c', ask, serve]).status).not.toBe(0);
    expect(start(['sh', script, 'sh', '-c', ask, serve], { CUSTOM_CA_CERT_PATH: certificate }).stdout).toBe('hello');
  });
});

describe('proxies behind /tools/enter', () => {
  const direct = 'localhost,127.0.0.1,::1,.svc,.cluster.local';

  it('have both spellings, and never stand between programs of one machine or cluster (part of C-12)', () => {
    expect(inside({ HTTP_PROXY: 'http://p:1', https_proxy: 'http://p:2' })).toMatchObject({
      HTTP_PROXY: 'http://p:1',
      http_proxy: 'http://p:1',
      HTTPS_PROXY: 'http://p:2',
      https_proxy: 'http://p:2',
      NO_PROXY: direct,
      no_proxy: direct,
    });
  });

  it("keep the admin's exceptions and add only what is missing", () => {
    expect(inside({ HTTPS_PROXY: 'http://p', NO_PROXY: 'a.example,.svc' }).no_proxy).toBe(
      'a.example,.svc,localhost,127.0.0.1,::1,.cluster.local',
    );
  });

  it('are absent where the admin set none, instead of empty', () => {
    const found = inside({ HTTP_PROXY: '', HTTPS_PROXY: '', NO_PROXY: '' });

    for (const name of ['HTTP_PROXY', 'http_proxy', 'HTTPS_PROXY', 'https_proxy', 'NO_PROXY', 'no_proxy']) {
      expect(found).not.toHaveProperty(name);
    }
  });

  it('are taken as text', () => {
    expect(inside({ HTTP_PROXY: '$(touch pwned)`id`"\'' }).http_proxy).toBe('$(touch pwned)`id`"\'');
  });
});

describe('the environment of workspace.nix behind /tools/enter', () => {
  beforeEach(() => {
    mkdirSync(join(home, '.local/state/outrigger'), { recursive: true });
    writeFileSync(join(home, '.local/state/outrigger/nix-env'), "PATH='/nix/x':$PATH\nexport FROM_NIX=yes\n");
  });

  it('is in force, behind /tools', () => {
    expect(inside()).toMatchObject({ FROM_NIX: 'yes', PATH: expect.stringMatching(/^\/tools:\/nix\/x:/) });
  });

  it('never reaches the bridge, whose home the agent can write', () => {
    expect(inside({ OUTRIGGER_PROOF: 'k.proof' })).not.toHaveProperty('FROM_NIX');
  });
});

describe('/tools/enter in an image without glibc', () => {
  /** A root with a shell and nothing else; `loader` says where glibc's loader lies in it. */
  const enterIn = (loader: string | null) => {
    const libraries = spawnSync('ldd', ['/bin/dash'], { encoding: 'utf8' }).stdout;
    const libc = /=> (\S+libc\.so\.6)/.exec(libraries)?.[1] ?? '';
    const interpreter = /^\s*(\/\S+ld-linux\S+)/m.exec(libraries)?.[1] ?? '';
    for (const folder of ['bin', 'lib', 'tools', 'lib64', 'tmp']) mkdirSync(join(root, folder));
    for (const [from, to] of [
      ['/bin/dash', 'bin/dash'],
      [libc, 'lib/libc.so.6'],
      [interpreter, 'lib/start'],
      [script, 'tools/enter'],
      ...(loader === null ? [] : [[interpreter, loader] as const]),
    ] as const) {
      copyFileSync(from, join(root, to));
    }
    writeFileSync(join(root, 'tools/opencode'), '', { mode: 0o111 });
    const shell = ['/lib/start', '--library-path', '/lib', '/bin/dash', '/tools/enter'];
    return start(['unshare', '-r', `--root=${root}`, ...shell, '/tools/opencode', '/tools/bridge.js']);
  };

  inNewRoot('says so in a sentence instead of "not found" when OpenCode shall run (part of O-02)', () => {
    const finished = enterIn(null);

    expect(finished.status).toBe(2);
    expect(finished.stderr).toMatch(/^enter: OpenCode needs glibc, and this image has none .* Choose an image .*\n$/);
  });

  inNewRoot('says nothing where the loader is there', () => {
    expect(enterIn('lib64/ld-linux-x86-64.so.2').stderr).not.toContain('glibc');
  });
});
