import { isAbsolute } from 'node:path';
import { z } from 'zod';
import { profiles } from '../modules/contract.ts';

export interface Setting<Schema extends z.ZodType = z.ZodType> {
  readonly key: string;
  /** Undefined: settable in the file only. */
  readonly variable?: string;
  /** Ends the sentence "CODER_URL must …"; values are never repeated in a message. */
  readonly must: string;
  readonly schema: Schema;
  /** A secret has a `…_FILE` (`…_file`) form and is never shown. */
  readonly isSecret?: true;
  /** An empty text is a value, such as no kind at all, instead of nothing said. */
  readonly emptyIsSaid?: true;
}

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof logLevels)[number];
const text = z.string().min(1);
const httpUrl = text.refine(isPlainHttpUrl).transform((url) => url.replace(/\/+$/, ''));
const postgresUrl = text.refine((url) => /^postgres(ql)?:\/\//.test(url) && URL.canParse(url));
const integer = (minimum: number, maximum: number) =>
  z.union([z.number(), z.string().regex(/^\d+$/).transform(Number)]).pipe(z.number().int().min(minimum).max(maximum));
/** 0 turns it off. */
const brake = (minimum: number, maximum: number) =>
  integer(0, maximum).refine((times) => times === 0 || times >= minimum);
const truth = z.union([z.boolean(), z.enum(['true', 'false']).transform((word) => word === 'true')]);
const wordList = z
  .union([z.array(text), z.string().transform((line) => line.split(',').map((word) => word.trim()))])
  .transform((words) => words.filter((word) => word !== ''));
/** With its API group, where that is not the one that everybody knows the kind by. */
const isKind = (word: string): boolean =>
  /^([a-z0-9][-a-z0-9.]*\/)?[A-Z][A-Za-z0-9]{0,99}$/.test(word) && word !== 'Secret';
const address = text
  .transform((line) => /^(?:\[(?<six>[0-9a-f:.]+)\]|(?<host>[^:\s]+)):(?<port>\d{1,5})$/i.exec(line)?.groups)
  .refine((groups) => groups !== undefined && Number(groups['port']) <= 65_535)
  .transform((groups) => ({ host: groups?.['six'] ?? groups?.['host'] ?? '', port: Number(groups?.['port']) }));
const jsonObject = z.union([
  z.string().refine((line) => line.trim().startsWith('{')),
  z.record(z.string(), z.string()).transform((ring) => JSON.stringify(ring)),
]);
const versionName = z.union([text, z.number().int().transform(String)]);

const mustBeUrl = 'be an http or https URL without a user or password';
const mustNotBeEmpty = 'be a text that is not empty';

/** Every key, once: its two names, what it must be, how it is read. */
export const settings = {
  coderUrl: { key: 'coder.url', variable: 'CODER_URL', must: mustBeUrl, schema: httpUrl },
  coderServiceToken: {
    key: 'coder.service_token',
    variable: 'OUTRIGGER_CODER_TOKEN',
    must: mustNotBeEmpty,
    schema: text,
    isSecret: true,
  },
  coderSessionToken: {
    key: 'coder.token',
    variable: 'CODER_SESSION_TOKEN',
    must: mustNotBeEmpty,
    schema: text,
    isSecret: true,
  },
  coderTimeout: {
    key: 'coder.timeout',
    variable: 'CODER_TIMEOUT',
    must: 'be whole seconds from 1 to 600',
    schema: integer(1, 600),
  },
  kataUrl: { key: 'kata.url', must: mustNotBeEmpty, schema: text },
  kataTimeout: { key: 'kata.timeout', must: 'be whole seconds', schema: integer(0, 86_400) },
  kataRuntimeClass: {
    key: 'kata.runtime_class',
    variable: 'KATA_RUNTIME_CLASS',
    must: 'be the name of a RuntimeClass, such as kata-qemu',
    schema: z.string().regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/),
  },
  kataDockerRuntime: {
    key: 'kata.docker_runtime',
    variable: 'KATA_DOCKER_RUNTIME',
    must: 'be a runtime that the Docker daemon knows, such as io.containerd.kata.v2',
    schema: z.string().regex(/^[a-z0-9][a-z0-9._-]*$/),
  },
  databaseUrl: {
    key: 'database_url',
    variable: 'DATABASE_URL',
    must: 'be a postgres:// URL',
    schema: postgresUrl,
    isSecret: true,
  },
  publicUrl: { key: 'public_url', variable: 'OUTRIGGER_URL', must: mustBeUrl, schema: httpUrl },
  listen: {
    key: 'listen',
    variable: 'OUTRIGGER_LISTEN',
    must: 'be host:port, such as 127.0.0.1:7676',
    schema: address,
  },
  modelUpstreamUrl: { key: 'model.upstream_url', variable: 'MODEL_UPSTREAM_URL', must: mustBeUrl, schema: httpUrl },
  modelApiKey: {
    key: 'model.api_key',
    variable: 'OPENROUTER_API_KEY',
    must: mustNotBeEmpty,
    schema: text,
    isSecret: true,
  },
  modelDefault: { key: 'model.default', variable: 'OUTRIGGER_MODEL', must: mustNotBeEmpty, schema: text },
  modelAllowed: {
    key: 'model.allowed',
    variable: 'OUTRIGGER_MODELS',
    must: 'be a list of model names',
    schema: wordList,
  },
  modelFallbacks: {
    key: 'model.fallbacks',
    variable: 'OUTRIGGER_FALLBACK_MODELS',
    must: 'be a list of model names',
    schema: wordList,
  },
  modelLocalOnly: {
    key: 'model.local_only',
    variable: 'OUTRIGGER_LOCAL_ONLY',
    must: 'be true or false',
    schema: truth,
  },
  modelAllowUnpriced: {
    key: 'model.allow_unpriced',
    variable: 'OUTRIGGER_ALLOW_UNPRICED_MODELS',
    must: 'be true or false',
    schema: truth,
  },
  modelIdenticalCalls: {
    key: 'model.identical_calls',
    variable: 'OUTRIGGER_IDENTICAL_CALLS',
    must: 'be a whole number from 2 to 100, or 0 for no such brake',
    schema: brake(2, 100),
  },
  modelStaleCalls: {
    key: 'model.stale_calls',
    variable: 'OUTRIGGER_STALE_CALLS',
    must: 'be a whole number from 2 to 400, or 0 for no such brake',
    schema: brake(2, 400),
  },
  modelCallsPerMinute: {
    key: 'model.calls_per_minute',
    variable: 'OUTRIGGER_CALLS_PER_MINUTE',
    must: 'be a whole number from 1 to 10000, or 0 for no such brake',
    schema: brake(1, 10_000),
  },
  llmModel: { key: 'llm.model', variable: 'LLM_MODEL', must: mustNotBeEmpty, schema: text },
  llmMaxTokens: {
    key: 'llm.max_tokens',
    variable: 'LLM_MAX_TOKENS',
    must: 'be a whole number from 1 to 10000000',
    schema: integer(1, 10_000_000),
  },
  llmTemperature: {
    key: 'llm.temperature',
    variable: 'LLM_TEMPERATURE',
    must: 'be a number from 0 to 2',
    schema: z
      .union([
        z.number(),
        z
          .string()
          .regex(/^\d+(\.\d+)?$/)
          .transform(Number),
      ])
      .pipe(z.number().min(0).max(2)),
  },
  modelPricesFile: {
    key: 'model.prices_file',
    variable: 'OUTRIGGER_MODEL_PRICES_FILE',
    must: 'be a path',
    schema: text,
  },
  dataDir: {
    key: 'data_dir',
    variable: 'OUTRIGGER_DATA_DIR',
    must: 'be an absolute path',
    schema: text.refine((path) => isAbsolute(path)),
  },
  flags: {
    key: 'flags',
    variable: 'OUTRIGGER_FLAGS',
    must: 'be a JSON object of flags',
    // Whatever it is: what cannot be read turns features off instead of keeping the service from starting.
    schema: z.unknown(),
  },
  keyring: {
    key: 'keyring',
    variable: 'CREDENTIAL_ENCRYPTION_KEYRING',
    must: 'be a JSON object of keys by version',
    schema: jsonObject,
    isSecret: true,
  },
  keyVersion: {
    key: 'key_version',
    variable: 'CREDENTIAL_ENCRYPTION_KEY_VERSION',
    must: 'name a version of the key ring',
    schema: versionName,
  },
  auditSigningKey: {
    key: 'audit_signing_key',
    variable: 'AUDIT_SIGNING_KEY',
    must: mustNotBeEmpty,
    schema: text,
    isSecret: true,
  },
  metricsToken: {
    key: 'metrics_token',
    variable: 'METRICS_TOKEN',
    must: 'have at least 16 characters',
    schema: text.min(16),
    isSecret: true,
  },
  logLevel: {
    key: 'log_level',
    variable: 'LOG_LEVEL',
    must: `be one of ${logLevels.join(', ')}`,
    schema: z.enum(logLevels),
  },
  allowInsecureHttp: {
    key: 'allow_insecure_http',
    variable: 'ALLOW_INSECURE_HTTP',
    must: 'be true or false',
    schema: truth,
  },
  maxConcurrent: {
    key: 'max_concurrent_per_workspace',
    variable: 'OUTRIGGER_MAX_CONCURRENT_PER_WORKSPACE',
    must: 'be a whole number from 1 to 4',
    schema: integer(1, 4),
  },
  kubernetesNamespaces: {
    key: 'kubernetes.namespaces',
    variable: 'OUTRIGGER_KUBERNETES_NAMESPACES',
    must: 'be a list of namespaces',
    schema: wordList,
  },
  kubernetesKinds: {
    key: 'kubernetes.kinds',
    variable: 'OUTRIGGER_KUBERNETES_KINDS',
    must: 'be a list of kinds, such as Deployment,cert-manager.io/Certificate; empty for none; never Secret, because what is read is shown',
    schema: wordList.refine((kinds) => kinds.every(isKind)),
    emptyIsSaid: true,
  },
  dockerImages: {
    key: 'docker.images',
    variable: 'OUTRIGGER_DOCKER_IMAGES',
    must: 'be a list of images, such as registry.example.com/team/,alpine:3; with / at its end all that is below',
    schema: wordList,
  },
  dockerPull: {
    key: 'docker.pull',
    variable: 'OUTRIGGER_DOCKER_PULL',
    must: 'be true or false',
    schema: truth,
  },
  dockerNetwork: {
    key: 'docker.network',
    variable: 'OUTRIGGER_DOCKER_NETWORK',
    must: "be the name of a network, never host or another container's",
    schema: z.string().regex(/^(?!host$)[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/),
  },
  dockerSocket: {
    key: 'docker.socket',
    variable: 'OUTRIGGER_DOCKER_SOCKET',
    must: 'be an absolute path',
    schema: text.refine((path) => isAbsolute(path)),
  },
  queueMax: {
    key: 'queue.max',
    variable: 'OUTRIGGER_QUEUE_MAX',
    must: 'be a whole number from 1 to 1000000',
    schema: integer(1, 1_000_000),
  },
  traceEndpoint: {
    key: 'trace_endpoint',
    variable: 'OTEL_EXPORTER_OTLP_ENDPOINT',
    must: mustBeUrl,
    schema: httpUrl,
  },
  approvalAboveMicroUsd: {
    key: 'workflow.approval_above_micro_usd',
    variable: 'OUTRIGGER_APPROVAL_ABOVE_MICRO_USD',
    must: 'be whole micro-USD from 0 to 1000000000000',
    schema: integer(0, 1_000_000_000_000),
  },
  maxProfile: {
    key: 'max_profile',
    variable: 'OUTRIGGER_MAX_PROFILE',
    must: `be one of ${profiles.join(', ')}`,
    schema: z.enum(profiles),
  },
} as const satisfies Record<string, Setting>;

export type Name = keyof typeof settings;
export type Values = { -readonly [N in Name]?: z.output<(typeof settings)[N]['schema']> };
export const allSettings = Object.entries(settings) as [Name, Setting][];
/** What agent `kubernetes` may touch where nobody says more; what their pods may be, the agent bounds itself. */
export const usualKubernetesKinds = [
  'ConfigMap',
  'Service',
  'PersistentVolumeClaim',
  'Deployment',
  'StatefulSet',
  'Job',
  'CronJob',
  'Ingress',
  'HorizontalPodAutoscaler',
  'PodDisruptionBudget',
] as const;
/** Addresses that tokens travel to. */
export const urlSettings = ['coderUrl', 'publicUrl', 'modelUpstreamUrl'] as const;

function isPlainHttpUrl(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { protocol, username, password } = new URL(url);
  return (protocol === 'http:' || protocol === 'https:') && username === '' && password === '';
}

/** Whether a URL's host can only be this machine. */
export function isLoopbackUrl(url: string): boolean {
  const host = new URL(url).hostname.replace(/^\[|\]$/g, '');
  return host === 'localhost' || host.endsWith('.localhost') || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}
