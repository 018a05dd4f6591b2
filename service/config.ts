import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Profile } from '../modules/contract.ts';
import {
  allSettings,
  isLoopbackUrl,
  settings,
  urlSettings,
  usualKubernetesKinds,
  type LogLevel,
  type Name,
  type Values,
} from './config-settings.ts';
import { findValue, readConfigFile, readFileIfThere, type ConfigSources } from './config-sources.ts';
import { ServiceError, type FieldError } from './platform/errors.ts';
import { readFlags, type Flags } from './platform/flags.ts';
import { mayBeLocal } from './platform/own-networks.ts';

export type { ConfigSources } from './config-sources.ts';

/** Each 0 turns one off. */
interface Brakes {
  readonly identicalCalls?: number;
  readonly staleCalls?: number;
  readonly callsPerMinute?: number;
}

/** Everything the service is told from outside. Secrets are plain strings here: never log a Config, use `describeConfig`. */
export interface Config {
  readonly coder: {
    readonly url: string;
    /** False when nobody said which Coder: `url` is then only the documented default. */
    readonly isConfigured: boolean;
    /** The service's own token. */
    readonly serviceToken: string | undefined;
    /** Always a person's token; commands and the demo use it, the service does not. */
    readonly sessionToken: string | undefined;
    /** Per request. */
    readonly timeoutSeconds: number;
  };
  /** What `template push` gives the templates that ask for a runtime; undefined leaves them their own default. */
  readonly kata: {
    readonly runtimeClass: string | undefined;
    readonly dockerRuntime: string | undefined;
  };
  /** Undefined: embedded Postgres under `dataDir`. */
  readonly databaseUrl: string | undefined;
  /** True with a database of one's own: other replicas may share it, so keys must be given, not generated. */
  readonly mayHaveReplicas: boolean;
  /** How workspaces reach the service; undefined: the address it listens on. */
  readonly publicUrl: string | undefined;
  /** Port 0 picks a free one. */
  readonly listen: { readonly host: string; readonly port: number };
  readonly model: {
    readonly upstreamUrl: string;
    readonly apiKey: string | undefined;
    readonly default: string | undefined;
    /** Never empty when `default` is set; empty: whatever the upstream offers. */
    readonly allowed: readonly string[];
    /** Overrides the prices that ship with the service. */
    readonly pricesFile: string | undefined;
    /** Asked in this order when the provider of a task's model fails. */
    readonly fallbacks: readonly string[];
    /** Only upstreams in one's own networks are dialled. */
    readonly isLocalOnly: boolean;
    readonly allowUnpriced: boolean;
    /** Bounds every answer. */
    readonly maxTokens: number | undefined;
    /** Taken where a request names none. */
    readonly temperature: number | undefined;
    /** What is left out is as the gateway usually has it. */
    readonly brakes: Brakes;
  };
  readonly dataDir: string;
  /** JSON text `{"1":"<32 bytes as base64>"}`; `platform/keys.ts` reads it, and generates one where it may. */
  readonly keyring: string | undefined;
  readonly keyVersion: string | undefined;
  readonly auditSigningKey: string | undefined;
  readonly metricsToken: string | undefined;
  readonly logLevel: LogLevel;
  readonly allowInsecureHttp: boolean;
  /** Attempts at once in one workspace, 1–4. */
  readonly maxConcurrentPerWorkspace: number;
  /** What agent `kubernetes` may touch. */
  readonly kubernetes: { readonly namespaces: readonly string[]; readonly kinds: readonly string[] };
  /** What agent `docker` may run, and where. */
  readonly docker: {
    readonly images: readonly string[];
    /** Whether an image that is missing is fetched. */
    readonly mayPull: boolean;
    readonly network: string;
    /** A socket of this machine that an organization may name as its daemon. */
    readonly socket: string | undefined;
  };
  /** Tasks that may wait at once; more are refused until some have begun. */
  readonly queueMax: number;
  /** OTLP collector over HTTP that gets the spans; undefined traces nothing. */
  readonly traceEndpoint: string | undefined;
  /** A workflow whose estimate ends above it starts only when its owner approved that much; undefined asks nobody. */
  readonly approvalAboveMicroUsd: number | undefined;
  readonly maxProfile: Profile;
  /** What is turned off, for whom. */
  readonly flags: Flags;
  /** To be logged once at start. */
  readonly notices: readonly Notice[];
  /** Each key with its origin; secrets already replaced. */
  readonly settings: readonly DescribedSetting[];
}

export interface Notice {
  readonly level: 'info' | 'warn';
  readonly message: string;
}

export interface DescribedSetting {
  readonly key: string;
  readonly variable: string | undefined;
  /** `CODER_URL`, the path of a file, or `default`. */
  readonly source: string;
  readonly value: unknown;
}

/**
 * What environment and file say, checked; environment wins.
 *
 * Files   `--config`, `OUTRIGGER_CONFIG`, `./outrigger.yaml`, `${XDG_CONFIG_HOME:-~/.config}/outrigger/config.yaml`,
 *         `/etc/outrigger/config.yaml`: the first that is there. YAML, or JSON.
 * Errors  one `invalid` (`config_invalid`) whose message and `errors` name every bad value; no value is repeated.
 */
export function loadConfig(sources: ConfigSources): Config {
  const errors: FieldError[] = [];
  const file = readConfigFile(sources, errors);
  const values: Values = {};
  const origins = new Map<Name, string>();
  for (const [name, setting] of allSettings) {
    const raw = findValue(setting, sources, file, errors);
    if (raw === undefined) continue;
    const result = setting.schema.safeParse(raw.value);
    if (result.success) Object.assign(values, { [name]: result.data });
    else errors.push({ path: raw.name, message: `must ${setting.must} (from ${raw.source})` });
    origins.set(name, raw.source);
  }
  checkTogether(values, errors);
  if (errors.length > 0) throw configInvalid(errors);
  const config = assemble(values, sources);
  return { ...config, notices: noticesOf(values), settings: describe(config, values, origins) };
}

/** `loadConfig` over this process: its environment, its files, its user. */
export function loadConfigFromProcess(configFile?: string): Config {
  return loadConfig({
    environment: process.env,
    readFile: readFileIfThere,
    homeDir: homedir(),
    uid: process.getuid?.(),
    configFile,
  });
}

/** Every key with its value and origin, fit to be shown: a secret is `[redacted]`. */
export const describeConfig = (config: Config): readonly DescribedSetting[] => config.settings;

const configInvalid = (errors: readonly FieldError[]): ServiceError =>
  new ServiceError(
    'invalid',
    'config_invalid',
    `The configuration cannot be used. Mend what is named here and start again:\n${errors
      .map(({ path, message }) => `  ${path} ${message}`)
      .join('\n')}`,
    { errors },
  );

function checkTogether(values: Values, errors: FieldError[]): void {
  for (const name of urlSettings) {
    const url = values[name];
    const isNear = name === 'modelUpstreamUrl' && values.modelLocalOnly === true;
    if (url?.startsWith('http:') && !isLoopbackUrl(url) && !values.allowInsecureHttp && !isNear)
      errors.push({
        path: settings[name].variable,
        message: 'is plain http beyond this machine: use https, or set ALLOW_INSECURE_HTTP=true',
      });
  }
  checkModels(values, errors);
}

function checkModels(values: Values, errors: FieldError[]): void {
  const { modelAllowed, llmModel, modelFallbacks = [], modelLocalOnly, modelUpstreamUrl } = values;
  const modelDefault = values.modelDefault ?? llmModel;
  const named = values.modelDefault === undefined ? 'LLM_MODEL' : 'OUTRIGGER_MODEL';
  if (llmModel !== undefined && llmModel !== modelDefault)
    errors.push({ path: 'LLM_MODEL', message: 'must be OUTRIGGER_MODEL, or left out where that is set' });
  if (modelLocalOnly && (modelUpstreamUrl === undefined || !mayBeLocal(modelUpstreamUrl)))
    errors.push({
      path: 'MODEL_UPSTREAM_URL',
      message:
        'must be an upstream in your own networks, such as http://ollama:11434, because OUTRIGGER_LOCAL_ONLY is set',
    });
  for (const model of modelFallbacks)
    if (modelAllowed !== undefined && modelAllowed.length > 0 && !modelAllowed.includes(model))
      errors.push({ path: 'OUTRIGGER_FALLBACK_MODELS', message: `must be among OUTRIGGER_MODELS` });
  if (
    modelDefault !== undefined &&
    modelAllowed !== undefined &&
    modelAllowed.length > 0 &&
    !modelAllowed.includes(modelDefault)
  )
    errors.push({ path: named, message: 'must be one of OUTRIGGER_MODELS' });
}

function noticesOf(values: Values): Notice[] {
  const loopback = urlSettings.filter((name) => values[name]?.startsWith('http:') && isLoopbackUrl(values[name]));
  const insecure = urlSettings.filter((name) => values[name]?.startsWith('http:') && !isLoopbackUrl(values[name]));
  const keysOf = (names: readonly (typeof urlSettings)[number][]) => names.map((name) => settings[name].key).join(', ');
  const kata = (
    [
      ['kataUrl', 'kata.url'],
      ['kataTimeout', 'kata.timeout'],
    ] as const
  ).filter(([name]) => values[name] !== undefined);
  return [
    ...(loopback.length > 0
      ? [{ level: 'info' as const, message: `plain http on loopback is allowed: ${keysOf(loopback)}` }]
      : []),
    ...(insecure.length > 0
      ? [{ level: 'warn' as const, message: `ALLOW_INSECURE_HTTP: tokens travel unencrypted to ${keysOf(insecure)}` }]
      : []),
    ...readFlags(values.flags).faults.map((message) => ({ level: 'warn' as const, message })),
    ...(kata.length > 0
      ? [
          {
            level: 'warn' as const,
            message: `deprecated and without effect, Kata has no HTTP API: ${kata.map(([, key]) => key).join(', ')}`,
          },
        ]
      : []),
  ];
}

type Assembled = Omit<Config, 'notices' | 'settings'>;

function assemble(values: Values, { environment, homeDir, uid }: ConfigSources): Assembled {
  const allowed = values.modelAllowed ?? [];
  const chosenModel = values.modelDefault ?? values.llmModel ?? allowed[0];
  return {
    coder: {
      url: values.coderUrl ?? 'http://localhost:3000',
      isConfigured: values.coderUrl !== undefined,
      serviceToken: values.coderServiceToken,
      sessionToken: values.coderSessionToken,
      timeoutSeconds: values.coderTimeout ?? 30,
    },
    kata: { runtimeClass: values.kataRuntimeClass, dockerRuntime: values.kataDockerRuntime },
    databaseUrl: values.databaseUrl,
    mayHaveReplicas: values.databaseUrl !== undefined,
    publicUrl: values.publicUrl,
    listen: values.listen ?? { host: '127.0.0.1', port: 7676 },
    model: {
      upstreamUrl: values.modelUpstreamUrl ?? 'https://openrouter.ai/api/v1',
      apiKey: values.modelApiKey,
      default: chosenModel,
      allowed: allowed.length === 0 && chosenModel !== undefined ? [chosenModel] : allowed,
      pricesFile: values.modelPricesFile,
      fallbacks: values.modelFallbacks ?? [],
      isLocalOnly: values.modelLocalOnly ?? false,
      allowUnpriced: values.modelAllowUnpriced ?? false,
      maxTokens: values.llmMaxTokens,
      temperature: values.llmTemperature,
      brakes: brakesOf(values),
    },
    dataDir: values.dataDir ?? defaultDataDir(environment, homeDir, uid),
    keyring: values.keyring,
    keyVersion: values.keyVersion,
    auditSigningKey: values.auditSigningKey,
    metricsToken: values.metricsToken,
    logLevel: values.logLevel ?? 'info',
    allowInsecureHttp: values.allowInsecureHttp ?? false,
    maxConcurrentPerWorkspace: values.maxConcurrent ?? 1,
    kubernetes: {
      namespaces: values.kubernetesNamespaces ?? [],
      kinds: values.kubernetesKinds ?? usualKubernetesKinds,
    },
    docker: {
      images: values.dockerImages ?? [],
      mayPull: values.dockerPull ?? false,
      network: values.dockerNetwork ?? 'none',
      socket: values.dockerSocket,
    },
    queueMax: values.queueMax ?? 10_000,
    traceEndpoint: values.traceEndpoint,
    approvalAboveMicroUsd: values.approvalAboveMicroUsd,
    maxProfile: values.maxProfile ?? 'ask',
    flags: readFlags(values.flags),
  };
}

const brakesOf = (values: Values): Brakes => ({
  ...(values.modelIdenticalCalls === undefined ? {} : { identicalCalls: values.modelIdenticalCalls }),
  ...(values.modelStaleCalls === undefined ? {} : { staleCalls: values.modelStaleCalls }),
  ...(values.modelCallsPerMinute === undefined ? {} : { callsPerMinute: values.modelCallsPerMinute }),
});

function defaultDataDir(environment: ConfigSources['environment'], homeDir: string, uid: number | undefined): string {
  if (uid === 0) return '/var/lib/outrigger';
  return join(environment['XDG_DATA_HOME'] || join(homeDir, '.local', 'share'), 'outrigger');
}

function describe(config: Assembled, values: Values, origins: ReadonlyMap<Name, string>): DescribedSetting[] {
  const inForce: Partial<Record<Name, unknown>> = {
    ...values,
    coderUrl: config.coder.url,
    coderTimeout: config.coder.timeoutSeconds,
    listen: config.listen.host.includes(':')
      ? `[${config.listen.host}]:${config.listen.port}`
      : `${config.listen.host}:${config.listen.port}`,
    modelUpstreamUrl: config.model.upstreamUrl,
    modelDefault: config.model.default,
    modelAllowed: config.model.allowed,
    modelFallbacks: config.model.fallbacks,
    modelLocalOnly: config.model.isLocalOnly,
    modelAllowUnpriced: config.model.allowUnpriced,
    dataDir: config.dataDir,
    logLevel: config.logLevel,
    allowInsecureHttp: config.allowInsecureHttp,
    maxConcurrent: config.maxConcurrentPerWorkspace,
    kubernetesNamespaces: config.kubernetes.namespaces,
    kubernetesKinds: config.kubernetes.kinds,
    dockerImages: config.docker.images,
    dockerPull: config.docker.mayPull,
    dockerNetwork: config.docker.network,
    queueMax: config.queueMax,
    maxProfile: config.maxProfile,
    flags: config.flags.described,
  };
  return allSettings.map(([name, { key, variable, isSecret }]) => {
    const value = inForce[name] ?? null;
    return {
      key,
      variable,
      source: origins.get(name) ?? 'default',
      value: isSecret && value !== null ? '[redacted]' : value,
    };
  });
}
