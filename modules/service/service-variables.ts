import type { Construct } from 'constructs';
import { profiles } from '../contract.ts';
import { digestPattern } from '../contract.ts';
import { flag, oneOf, optionalText, rule, variable, wholeNumber } from '../workspace/variable.ts';
import { hasDatabase, serviceSecrets, variableOf, type ServiceSecret } from './service-secrets.ts';

/** Port of the service inside its container. */
export const servicePort = 7676;
/** Mount of the volume that the service keeps. */
export const dataVolume = '/var/lib/outrigger';
/** A folder of its own on that volume, whose owner is somebody else where Kubernetes mounts it. */
export const dataDirectory = `${dataVolume}/data`;

/** What an admin says about the service wherever it runs. */
export function serviceVariables(scope: Construct): void {
  variable(scope, 'service_image', {
    description: "Image of the service, pinned by digest; built with 'make AGENT=service build'.",
    type: 'string',
    validation: [
      rule(
        `can(regex("${digestPattern}$", var.service_image))`,
        'Pin the image by digest, such as "registry.example.com/outrigger-service:1@sha256:<64 hex digits>".',
      ),
    ],
  });
  address(scope, 'coder_url', 'How the service reaches Coder, such as "https://coder.example.com".');
  address(scope, 'outrigger_url', 'How workspaces and browsers reach the service.');
  optionalText(scope, 'model_upstream_url', 'OpenAI-compatible address of the models; empty: OpenRouter.');
  optionalText(scope, 'default_model', "Model of tasks that name none; empty: the first of 'allowed_models'.");
  variable(scope, 'allowed_models', {
    description: 'Models that may be used; empty: all that the provider offers.',
    type: 'list(string)',
    default: [],
  });
  oneOf(scope, 'max_profile', 'The most that an agent may be allowed to do without asking', profiles, 'ask');
  oneOf(scope, 'log_level', 'How much the service logs', ['debug', 'info', 'warn', 'error'], 'info');
  flag(scope, 'allow_insecure_http', 'Whether tokens may travel over plain http beyond one machine.');
  wholeNumber(scope, 'memory_mb', 'Memory of the service in MB; its own Postgres counts.', 2048, [512, 262_144]);
  for (const secret of serviceSecrets) secretVariable(scope, secret);
  wholeNumber(scope, 'secrets_revision', 'Raise it by one when a secret file changed.', 1, [1, 1_000_000]);
}

/**
 * Secrets come as paths: neither a variable nor the state nor a saved plan then holds one.
 *
 * Terraform reads the file on the machine that applies.
 */
function secretVariable(scope: Construct, secret: ServiceSecret): void {
  const name = variableOf(secret);
  const description = `Path of a file that holds ${secret.what}.`;
  const exists = `fileexists(var.${name})`;
  const missing = 'There is no such file. Give an absolute path on the machine that runs Terraform.';
  if (secret.needed === 'always') {
    variable(scope, name, { description, type: 'string', validation: [rule(exists, missing)] });
    return;
  }
  // Not `||`: Terraform would look for the file all the same.
  const present = rule(`var.${name} == "" ? true : ${exists}`, missing);
  const together = rule(
    `var.${name} != "" || !(${hasDatabase})`,
    "Give this file too where 'database_url_file' is given: replicas must share it.",
  );
  optionalText(scope, name, description, secret.needed === 'database' ? [present, together] : [present]);
}

function address(scope: Construct, name: string, description: string): void {
  variable(scope, name, {
    description,
    type: 'string',
    validation: [
      rule(
        `can(regex("^https?://[^/?#@]+$", var.${name}))`,
        'Give a scheme and a host, and nothing after them, such as "https://host.example.com".',
      ),
    ],
  });
}

/** What the service is told in its environment, as HCL templates by variable; an empty one counts as not set. */
export function serviceEnvironment(secretPath: (secret: ServiceSecret) => string): Readonly<Record<string, string>> {
  const plain = {
    OUTRIGGER_LISTEN: `0.0.0.0:${String(servicePort)}`,
    OUTRIGGER_DATA_DIR: dataDirectory,
    OUTRIGGER_URL: '${var.outrigger_url}',
    CODER_URL: '${var.coder_url}',
    MODEL_UPSTREAM_URL: '${var.model_upstream_url}',
    OUTRIGGER_MODEL: '${var.default_model}',
    OUTRIGGER_MODELS: '${join(",", var.allowed_models)}',
    OUTRIGGER_MAX_PROFILE: '${var.max_profile}',
    LOG_LEVEL: '${var.log_level}',
    ALLOW_INSECURE_HTTP: '${var.allow_insecure_http}',
  };
  const files = serviceSecrets.map((secret) => [`${secret.environment}_FILE`, secretPath(secret)] as const);
  return { ...plain, ...Object.fromEntries(files) };
}

/** Asks the service whether it serves; the image has Node, and need not have curl. */
export const readinessCommand = [
  'node',
  '-e',
  `fetch('http://127.0.0.1:${String(servicePort)}/readyz').then((a) => process.exit(a.ok ? 0 : 1), () => process.exit(1))`,
];
