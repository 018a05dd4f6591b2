import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { describeConfig, loadConfig, type Config } from '../service/config.ts';
import { usualKinds } from '../service/agents/kubernetes/kinds.ts';
import { ServiceError } from '../service/platform/errors.ts';

const kledFile = readFileSync(join(import.meta.dirname, 'fixtures/config/kled.yaml'), 'utf8');
const home = '/home/ada';

interface Given {
  readonly environment?: Record<string, string>;
  /** Path → text. */
  readonly files?: Record<string, string>;
  readonly uid?: number;
  readonly configFile?: string;
}

function load({ environment = {}, files = {}, uid = 1000, configFile }: Given = {}): Config {
  return loadConfig({ environment, readFile: (path) => files[path], homeDir: home, uid, configFile });
}

const loadYaml = (yaml: string, environment: Record<string, string> = {}): Config =>
  load({ environment, configFile: '/c.yaml', files: { '/c.yaml': yaml } });

function refusal(given: () => unknown): ServiceError {
  try {
    given();
  } catch (error) {
    if (error instanceof ServiceError) return error;
    throw error;
  }
  throw new Error('It was accepted.');
}

describe('configuration', () => {
  it('needs nothing: every key has a default or may be absent', () => {
    const config = load();

    expect(config).toMatchObject({
      databaseUrl: undefined,
      mayHaveReplicas: false,
      publicUrl: undefined,
      listen: { host: '127.0.0.1', port: 7676 },
      model: { upstreamUrl: 'https://openrouter.ai/api/v1', apiKey: undefined, default: undefined, allowed: [] },
      logLevel: 'info',
      allowInsecureHttp: false,
      maxConcurrentPerWorkspace: 1,
      maxProfile: 'ask',
      notices: [],
    });
  });

  it('takes every key from the environment', () => {
    const config = load({
      environment: {
        CODER_URL: 'https://coder.example.com/',
        OUTRIGGER_CODER_TOKEN: 'service-token',
        CODER_SESSION_TOKEN: 'person-token',
        CODER_TIMEOUT: '5',
        DATABASE_URL: 'postgres://a:b@db.example.com/x',
        OUTRIGGER_URL: 'https://outrigger.example.com',
        OUTRIGGER_LISTEN: '[::1]:0',
        MODEL_UPSTREAM_URL: 'https://models.example.com/v1',
        OPENROUTER_API_KEY: 'model-key',
        OUTRIGGER_MODEL: 'b',
        OUTRIGGER_MODELS: 'a, b,,c',
        OUTRIGGER_MODEL_PRICES_FILE: '/prices.json',
        OUTRIGGER_DATA_DIR: '/data',
        CREDENTIAL_ENCRYPTION_KEYRING: '{"1":"x"}',
        CREDENTIAL_ENCRYPTION_KEY_VERSION: '1',
        AUDIT_SIGNING_KEY: 'signing-key',
        METRICS_TOKEN: 'metrics-token-long',
        LOG_LEVEL: 'debug',
        OUTRIGGER_MAX_CONCURRENT_PER_WORKSPACE: '4',
        OUTRIGGER_MAX_PROFILE: 'trusted',
      },
    });

    expect(config).toMatchObject({
      coder: {
        url: 'https://coder.example.com',
        isConfigured: true,
        serviceToken: 'service-token',
        sessionToken: 'person-token',
        timeoutSeconds: 5,
      },
      databaseUrl: 'postgres://a:b@db.example.com/x',
      mayHaveReplicas: true,
      publicUrl: 'https://outrigger.example.com',
      listen: { host: '::1', port: 0 },
      model: {
        upstreamUrl: 'https://models.example.com/v1',
        apiKey: 'model-key',
        default: 'b',
        allowed: ['a', 'b', 'c'],
        pricesFile: '/prices.json',
      },
      dataDir: '/data',
      keyring: '{"1":"x"}',
      keyVersion: '1',
      auditSigningKey: 'signing-key',
      metricsToken: 'metrics-token-long',
      logLevel: 'debug',
      maxConcurrentPerWorkspace: 4,
      maxProfile: 'trusted',
    });
  });

  it('takes the same keys from a file, as YAML types', () => {
    const config = loadYaml(
      [
        'coder: { url: https://coder.example.com, service_token: s, token: t, timeout: 7 }',
        'database_url: postgres://db.example.com/x',
        'public_url: https://outrigger.example.com',
        'listen: 0.0.0.0:80',
        'model: { upstream_url: https://m.example.com, api_key: k, default: a, allowed: [a, b], prices_file: /p.json }',
        'data_dir: /data',
        'keyring: { "1": abc }',
        'key_version: 1',
        'audit_signing_key: signing',
        'metrics_token: metrics-token-long',
        'log_level: warn',
        'allow_insecure_http: true',
        'max_concurrent_per_workspace: 2',
        'max_profile: read-only',
      ].join('\n'),
    );

    expect(config).toMatchObject({
      coder: { url: 'https://coder.example.com', serviceToken: 's', sessionToken: 't', timeoutSeconds: 7 },
      listen: { host: '0.0.0.0', port: 80 },
      model: {
        upstreamUrl: 'https://m.example.com',
        apiKey: 'k',
        default: 'a',
        allowed: ['a', 'b'],
        pricesFile: '/p.json',
      },
      dataDir: '/data',
      keyring: '{"1":"abc"}',
      keyVersion: '1',
      logLevel: 'warn',
      allowInsecureHttp: true,
      maxConcurrentPerWorkspace: 2,
      maxProfile: 'read-only',
    });
  });

  it('treats an empty variable as one that is not set', () => {
    expect(load({ environment: { CODER_URL: '', DATABASE_URL: '' } })).toMatchObject({
      coder: { isConfigured: false },
      databaseUrl: undefined,
    });
  });

  it('takes an empty list of kinds for none, and shows the usual ones where nothing is said', () => {
    const shown = (config: Config) => describeConfig(config).find(({ key }) => key === 'kubernetes.kinds');
    const none = load({ environment: { OUTRIGGER_KUBERNETES_KINDS: '' } });
    const some = load({ environment: { OUTRIGGER_KUBERNETES_KINDS: 'ConfigMap, cert-manager.io/Certificate' } });

    expect(load().kubernetes).toEqual({ namespaces: [], kinds: Object.keys(usualKinds) });
    expect(shown(load())).toMatchObject({ source: 'default', value: Object.keys(usualKinds) });
    expect(none.kubernetes.kinds).toEqual([]);
    expect(shown(none)).toMatchObject({ source: 'the environment', value: [] });
    expect(loadYaml('kubernetes: { kinds: [] }').kubernetes.kinds).toEqual([]);
    expect(some.kubernetes.kinds).toEqual(['ConfigMap', 'cert-manager.io/Certificate']);
  });

  it('lets agent docker do nothing where nothing is said, and says which word of its keys is wrong', () => {
    expect(load().docker).toEqual({ images: [], mayPull: false, network: 'none', socket: undefined });
    expect(
      loadYaml("docker: { images: ['team/', 'alpine:3'], pull: true, network: build }", {
        OUTRIGGER_DOCKER_SOCKET: '/run/docker.sock',
      }).docker,
    ).toEqual({ images: ['team/', 'alpine:3'], mayPull: true, network: 'build', socket: '/run/docker.sock' });
    for (const [variable, value, words] of [
      ['OUTRIGGER_DOCKER_PULL', 'perhaps', /OUTRIGGER_DOCKER_PULL must be true or false/],
      ['OUTRIGGER_DOCKER_NETWORK', 'host', /OUTRIGGER_DOCKER_NETWORK must be the name of a network, never host/],
      ['OUTRIGGER_DOCKER_NETWORK', 'container:db', /never host or another container's/],
      ['OUTRIGGER_DOCKER_SOCKET', 'docker.sock', /OUTRIGGER_DOCKER_SOCKET must be an absolute path/],
    ] as const)
      expect(refusal(() => load({ environment: { [variable]: value } })).message).toMatch(words);
  });

  it.each(['Secret', 'ConfigMap,Secret', 'deployments', '../v1/Job'])('does not take %s for kinds', (kinds) => {
    const refused = refusal(() => load({ environment: { OUTRIGGER_KUBERNETES_KINDS: kinds } }));

    expect(refused.message).toMatch(/OUTRIGGER_KUBERNETES_KINDS must be a list of kinds.*never Secret/);
  });

  it('makes the only model named the default, and the default the only model allowed', () => {
    expect(load({ environment: { OUTRIGGER_MODELS: 'a,b' } }).model.default).toBe('a');
    expect(load({ environment: { OUTRIGGER_MODEL: 'a' } }).model.allowed).toEqual(['a']);
  });

  it('keeps data in /var/lib/outrigger for root, in the XDG data directory for anyone else', () => {
    expect(load({ uid: 0 }).dataDir).toBe('/var/lib/outrigger');
    expect(load().dataDir).toBe(`${home}/.local/share/outrigger`);
    expect(load({ environment: { XDG_DATA_HOME: '/xdg' } }).dataDir).toBe('/xdg/outrigger');
    expect(load({ uid: 0, environment: { OUTRIGGER_DATA_DIR: '/mine' } }).dataDir).toBe('/mine');
  });

  it('names every bad value at once and repeats none of them', () => {
    const error = refusal(() =>
      load({
        environment: {
          CODER_URL: 'canary-url',
          DATABASE_URL: 'mysql://canary-password@db/x',
          OUTRIGGER_LISTEN: 'canary-listen',
          LOG_LEVEL: 'canary-level',
          OUTRIGGER_MAX_CONCURRENT_PER_WORKSPACE: '5',
          OUTRIGGER_DATA_DIR: 'canary/relative',
          METRICS_TOKEN: 'canary-short',
          ALLOW_INSECURE_HTTP: 'canary',
        },
      }),
    );

    expect(error.code).toBe('config_invalid');
    expect(error.errors.map(({ path }) => path).sort()).toEqual([
      'ALLOW_INSECURE_HTTP',
      'CODER_URL',
      'DATABASE_URL',
      'LOG_LEVEL',
      'METRICS_TOKEN',
      'OUTRIGGER_DATA_DIR',
      'OUTRIGGER_LISTEN',
      'OUTRIGGER_MAX_CONCURRENT_PER_WORKSPACE',
    ]);
    for (const { path } of error.errors) expect(error.message).toContain(path);
    expect(error.message).not.toContain('canary');
  });

  it.each(['127.0.0.1:65536', '127.0.0.1', ':80', '::1:80', 'a b:80'])('refuses to listen on %s', (address) => {
    expect(refusal(() => load({ environment: { OUTRIGGER_LISTEN: address } })).message).toContain('OUTRIGGER_LISTEN');
  });

  it('refuses a default model that is not allowed', () => {
    const error = refusal(() => load({ environment: { OUTRIGGER_MODEL: 'c', OUTRIGGER_MODELS: 'a,b' } }));

    expect(error.errors).toEqual([{ path: 'OUTRIGGER_MODEL', message: 'must be one of OUTRIGGER_MODELS' }]);
  });
});

describe('a configuration file', () => {
  const [named, byVariable, here, ofUser, ofSystem] = [
    '/named.yaml',
    '/by-variable.yaml',
    join(process.cwd(), 'outrigger.yaml'),
    `${home}/.config/outrigger/config.yaml`,
    '/etc/outrigger/config.yaml',
  ] as const;
  const levelIn = (...paths: string[]): Record<string, string> =>
    Object.fromEntries(paths.map((path) => [path, `data_dir: ${JSON.stringify(path)}`]));

  it('is the first of --config, OUTRIGGER_CONFIG, here, the person’s, the system’s', () => {
    const environment = { OUTRIGGER_CONFIG: byVariable };
    const all = levelIn(named, byVariable, here, ofUser, ofSystem);

    expect(load({ environment, files: all, configFile: named }).dataDir).toBe(named);
    expect(load({ environment, files: all }).dataDir).toBe(byVariable);
    expect(load({ files: all }).dataDir).toBe(here);
    expect(load({ files: levelIn(ofUser, ofSystem) }).dataDir).toBe(ofUser);
    expect(
      load({ environment: { XDG_CONFIG_HOME: '/xdg' }, files: levelIn('/xdg/outrigger/config.yaml', ofUser) }).dataDir,
    ).toBe('/xdg/outrigger/config.yaml');
    expect(load({ files: levelIn(ofSystem) }).dataDir).toBe(ofSystem);
  });

  it('must be there when it was named', () => {
    expect(refusal(() => load({ configFile: '/gone.yaml' })).message).toContain('--config names /gone.yaml');
    expect(refusal(() => load({ environment: { OUTRIGGER_CONFIG: '/gone.yaml' } })).message).toContain(
      'OUTRIGGER_CONFIG',
    );
  });

  it('that cannot be read is named with the reason', () => {
    const readFile = (): string => {
      throw Object.assign(new Error('no'), { code: 'EACCES' });
    };

    const error = refusal(() =>
      loadConfig({ environment: {}, readFile, homeDir: home, uid: 0, configFile: '/c.yaml' }),
    );

    expect(error.errors).toEqual([{ path: '--config', message: 'names /c.yaml, which cannot be read (EACCES)' }]);
  });

  it('that is not YAML is named with the line, and the line is not quoted', () => {
    const error = refusal(() => loadYaml('coder:\n  token: "canary\n'));

    expect(error.message).toContain('/c.yaml is not valid YAML at line');
    expect(error.message).not.toContain('canary');
  });

  it.each(['just a sentence', '- a\n- b'])('that holds no keys is refused: %j', (yaml) => {
    expect(refusal(() => loadYaml(yaml)).message).toContain('must hold keys and values');
  });

  it('may be empty', () => {
    expect(loadYaml('# nothing yet\n').logLevel).toBe('info');
  });
});

describe('a secret', () => {
  it('can be the content of a file, without its last line break', () => {
    const files = { '/run/secrets/token': 'from-a-file\n', '/c.yaml': 'model: { api_key_file: /run/secrets/token }' };

    const config = load({
      environment: { OUTRIGGER_CODER_TOKEN_FILE: '/run/secrets/token' },
      files,
      configFile: '/c.yaml',
    });

    expect(config.coder.serviceToken).toBe('from-a-file');
    expect(config.model.apiKey).toBe('from-a-file');
  });

  it('is refused when it is given twice, or its file is missing or empty', () => {
    const environment = {
      OUTRIGGER_CODER_TOKEN: 'canary',
      OUTRIGGER_CODER_TOKEN_FILE: '/t',
      METRICS_TOKEN_FILE: '/gone',
      AUDIT_SIGNING_KEY_FILE: '/empty',
    };

    const error = refusal(() => load({ environment, files: { '/t': 'canary', '/empty': '\n' } }));

    expect(error.errors.map(({ path }) => path).sort()).toEqual([
      'AUDIT_SIGNING_KEY_FILE',
      'METRICS_TOKEN_FILE',
      'OUTRIGGER_CODER_TOKEN',
    ]);
    expect(error.message).not.toContain('canary');
  });
});

describe('K-09 coder.url', () => {
  it('is http://localhost:3000 unless the file or, before it, CODER_URL says otherwise', () => {
    const yaml = 'coder: { url: https://file.example.com }';

    expect(load().coder).toMatchObject({ url: 'http://localhost:3000', isConfigured: false });
    expect(loadYaml(yaml).coder).toMatchObject({ url: 'https://file.example.com', isConfigured: true });
    expect(loadYaml(yaml, { CODER_URL: 'https://variable.example.com' }).coder.url).toBe(
      'https://variable.example.com',
    );
  });

  it.each(['coder.example.com', 'ftp://coder.example.com', 'https://user:word@coder.example.com'])(
    'refuses %s',
    (url) => {
      expect(refusal(() => load({ environment: { CODER_URL: url } })).errors).toEqual([
        {
          path: 'CODER_URL',
          message: 'must be an http or https URL without a user or password (from the environment)',
        },
      ]);
    },
  );
});

describe('plain http', () => {
  const variables = ['CODER_URL', 'OUTRIGGER_URL', 'MODEL_UPSTREAM_URL'];

  it.each(variables)('is refused for %s beyond this machine unless ALLOW_INSECURE_HTTP=true', (variable) => {
    const environment = { [variable]: 'http://far.example.com' };

    expect(refusal(() => load({ environment })).errors.map(({ path }) => path)).toEqual([variable]);
    expect(load({ environment: { ...environment, ALLOW_INSECURE_HTTP: 'true' } }).notices).toEqual([
      { level: 'warn', message: expect.stringContaining('ALLOW_INSECURE_HTTP') },
    ]);
  });

  it.each([
    'http://localhost:3000',
    'http://127.0.0.1:1',
    'http://127.8.9.1:1',
    'http://[::1]:1',
    'http://coder.localhost',
  ])('K-33 is allowed on loopback and said so once: %s', (url) => {
    expect(load({ environment: { CODER_URL: url, MODEL_UPSTREAM_URL: url } }).notices).toEqual([
      { level: 'info', message: 'plain http on loopback is allowed: coder.url, model.upstream_url' },
    ]);
  });

  it.each(['http://127.0.0.1.example.com', 'http://localhost.example.com', 'http://10.0.0.1'])(
    'does not take %s for loopback',
    (url) => {
      expect(refusal(() => load({ environment: { CODER_URL: url } })).message).toContain('CODER_URL');
    },
  );
});

describe('K-13 C-38 the configuration file of Kled', () => {
  it('loads', () => {
    expect(loadYaml(kledFile).coder).toMatchObject({
      url: 'http://localhost:3000',
      sessionToken: 'your-token-here',
      timeoutSeconds: 30,
    });
  });

  it('is overruled by the environment', () => {
    const config = loadYaml(kledFile, {
      CODER_URL: 'https://c.example.com',
      CODER_SESSION_TOKEN: 'mine',
      CODER_TIMEOUT: '9',
    });

    expect(config.coder).toMatchObject({ url: 'https://c.example.com', sessionToken: 'mine', timeoutSeconds: 9 });
  });

  it('may be JSON', () => {
    expect(loadYaml('{"coder": {"url": "https://c.example.com", "timeout": 3}}').coder).toMatchObject({
      timeoutSeconds: 3,
    });
  });

  it('is refused by name for a key that nobody knows', () => {
    const error = refusal(() => loadYaml(`${kledFile}\nmodle: { default: a }\n`));

    expect(error.errors).toEqual([{ path: 'modle.default', message: 'is not a known key (in /c.yaml)' }]);
  });

  it('warns once that the keys of Kata have no effect', () => {
    expect(loadYaml(kledFile).notices.filter(({ level }) => level === 'warn')).toEqual([
      { level: 'warn', message: 'deprecated and without effect, Kata has no HTTP API: kata.url, kata.timeout' },
    ]);
  });
});

describe('models by configuration', () => {
  it('C-15 takes LLM_MODEL, LLM_MAX_TOKENS and LLM_TEMPERATURE, and checks the model against the list', () => {
    const environment = { LLM_MODEL: 'b', LLM_MAX_TOKENS: '4096', LLM_TEMPERATURE: '0.2' };

    expect(load({ environment: { ...environment, OUTRIGGER_MODELS: 'a,b' } }).model).toMatchObject({
      ...{ default: 'b', allowed: ['a', 'b'], maxTokens: 4_096, temperature: 0.2 },
    });
    expect(refusal(() => load({ environment: { ...environment, OUTRIGGER_MODELS: 'a' } })).errors).toEqual([
      { path: 'LLM_MODEL', message: 'must be one of OUTRIGGER_MODELS' },
    ]);
    const wrong = { LLM_MODEL: 'a', OUTRIGGER_MODEL: 'b', LLM_MAX_TOKENS: '0', LLM_TEMPERATURE: 'hot' };
    expect(
      refusal(() => load({ environment: wrong }))
        .errors.map(({ path }) => path)
        .sort(),
    ).toEqual(['LLM_MAX_TOKENS', 'LLM_MODEL', 'LLM_TEMPERATURE']);
  });

  it('refuses an upstream elsewhere where only one’s own networks may be dialled (part of P-49)', () => {
    const local = { OUTRIGGER_LOCAL_ONLY: 'true' };

    for (const MODEL_UPSTREAM_URL of ['https://openrouter.ai/api/v1', 'http://8.8.8.8:11434'])
      expect(refusal(() => load({ environment: { ...local, MODEL_UPSTREAM_URL } })).errors).toMatchObject([
        { path: 'MODEL_UPSTREAM_URL' },
      ]);
    expect(refusal(() => load({ environment: local })).errors).toMatchObject([{ path: 'MODEL_UPSTREAM_URL' }]);
    const { model } = load({ environment: { ...local, MODEL_UPSTREAM_URL: 'http://ollama:11434' } });
    expect([model.upstreamUrl, model.isLocalOnly]).toEqual(['http://ollama:11434', true]);
  });

  it('refuses a brake or a fallback that cannot be', () => {
    const environment = {
      ...{ OUTRIGGER_IDENTICAL_CALLS: '1', OUTRIGGER_STALE_CALLS: '-3', OUTRIGGER_CALLS_PER_MINUTE: 'many' },
      ...{ OUTRIGGER_MODELS: 'a', OUTRIGGER_FALLBACK_MODELS: 'c' },
    };

    expect(
      refusal(() => load({ environment }))
        .errors.map(({ path }) => path)
        .sort(),
    ).toEqual([
      'OUTRIGGER_CALLS_PER_MINUTE',
      'OUTRIGGER_FALLBACK_MODELS',
      'OUTRIGGER_IDENTICAL_CALLS',
      'OUTRIGGER_STALE_CALLS',
    ]);
    expect(load({ environment: { OUTRIGGER_IDENTICAL_CALLS: '0' } }).model.brakes).toEqual({ identicalCalls: 0 });
  });
});

describe('a described configuration', () => {
  it('shows each key with its value and where it came from, and no secret', () => {
    const canary = 'canary-0123456789';
    const described = describeConfig(
      loadYaml(`coder: { token: ${canary} }\nmodel: { default: a }`, {
        OUTRIGGER_CODER_TOKEN: canary,
        DATABASE_URL: `postgres://a:${canary}@db.example.com/x`,
        OPENROUTER_API_KEY: canary,
        CREDENTIAL_ENCRYPTION_KEYRING: `{"1":"${canary}"}`,
        AUDIT_SIGNING_KEY: canary,
        METRICS_TOKEN: canary,
      }),
    );
    const byKey = Object.fromEntries(described.map((one) => [one.key, one]));

    expect(JSON.stringify(described)).not.toContain(canary);
    expect(byKey['coder.token']).toEqual({
      key: 'coder.token',
      variable: 'CODER_SESSION_TOKEN',
      source: '/c.yaml',
      value: '[redacted]',
    });
    expect(byKey['metrics_token']).toMatchObject({ source: 'the environment', value: '[redacted]' });
    expect(byKey['model.default']).toMatchObject({ source: '/c.yaml', value: 'a' });
    expect(byKey['listen']).toMatchObject({ source: 'default', value: '127.0.0.1:7676' });
    expect(byKey['public_url']).toMatchObject({ source: 'default', value: null });
  });
});
