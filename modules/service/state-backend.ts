/** Where Terraform keeps the state of a stack, as the environment says. */
export interface StateBackend {
  /** Terraform's name of the backend: `local`, `s3`, `pg`, … */
  readonly type: string;
  readonly options: Readonly<Record<string, unknown>>;
  /** Whether the backend itself promises that what it stores is encrypted. */
  readonly encrypts: boolean;
}

type Environment = Readonly<Record<string, string | undefined>>;

export const backendVariable = 'OUTRIGGER_STATE_BACKEND';
export const plainStateVariable = 'OUTRIGGER_ALLOW_PLAIN_STATE';

/**
 * Backends that say whether they encrypt, and by which option.
 *
 * The others (pg, http, consul, kubernetes, local) store what they are given; whether the disk below encrypts,
 * Terraform cannot know. Source: developer.hashicorp.com/terraform/language/backend
 */
const encrypting: Readonly<Record<string, (options: StateBackend['options']) => boolean>> = {
  azurerm: () => true,
  gcs: () => true,
  remote: () => true,
  s3: ({ encrypt }) => encrypt === true,
  oss: ({ encrypt }) => encrypt === true,
  cos: ({ encrypt }) => encrypt !== false,
};

/** Options that would put a credential into the synthesized files; every backend takes them from variables of its own. */
const credential = /secret|password|token|access_key|sas|conn_str|private_key|credentials|api_key/;

/**
 * The backend of one stack: `OUTRIGGER_STATE_BACKEND`, a JSON object of a `type` and the backend's options, in whose
 * texts `{stack}` stands for the stack's name; without it a file under `.outrigger/state`, beside `cdktf.out`.
 *
 * Errors  a sentence, when it is no such object, holds a credential, or gives all stacks one state.
 */
export function readStateBackend(environment: Environment, stack: string): StateBackend {
  const given = environment[backendVariable];
  if (given === undefined || given === '') {
    // Terraform runs in cdktf.out/stacks/<stack>. A relative path is the same on every machine.
    return { type: 'local', options: { path: `../../../.outrigger/state/${stack}.tfstate` }, encrypts: false };
  }
  const { type, ...options } = parse(given);
  if (typeof type !== 'string' || !/^[a-z][a-z0-9]*$/.test(type)) {
    throw new Error(`${backendVariable} names no backend. Give JSON such as ${example}.`);
  }
  refuseCredentials(options);
  if (!given.includes('{stack}')) {
    throw new Error(
      `${backendVariable} gives every stack the same state. Put {stack} where its name belongs, such as ${example}.`,
    );
  }
  const named = inEachText(options, (text) => text.replaceAll('{stack}', stack)) as StateBackend['options'];
  return { type, options: named, encrypts: encrypting[type]?.(named) ?? false };
}

const example = '{"type":"s3","bucket":"terraform","key":"outrigger/{stack}.tfstate","encrypt":true}';

function parse(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // What JSON.parse says repeats the text, which may hold what it should not.
  }
  throw new Error(`${backendVariable} is no JSON object. Give one such as ${example}.`);
}

function refuseCredentials(options: Readonly<Record<string, unknown>>): void {
  const found = Object.entries(options)
    .filter(([name, value]) => credential.test(name) || /:\/\/[^/]*:[^/]*@/.test(JSON.stringify(value)))
    .map(([name]) => name);
  if (found.length === 0) return;
  throw new Error(
    `${backendVariable} holds a credential (${found.join(', ')}), which would be written into cdktf.out. ` +
      "Give it in the backend's own variable, such as AWS_SECRET_ACCESS_KEY, PG_CONN_STR or TF_HTTP_PASSWORD.",
  );
}

function inEachText(value: unknown, change: (text: string) => string): unknown {
  if (typeof value === 'string') return change(value);
  if (Array.isArray(value)) return value.map((one) => inEachText(one, change));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, inEachText(one, change)]));
}

/** Why a stack with sensitive values in its state cannot use this backend; undefined when it can. */
export function refusePlainState(backend: StateBackend, environment: Environment, stack: string): string | undefined {
  if (backend.encrypts || environment[plainStateVariable] === 'true') return undefined;
  return (
    `The state of ${stack} holds template secrets, and the backend "${backend.type}" does not promise to encrypt it. ` +
    `Set ${backendVariable} to one that does, such as ${example}; ` +
    `or, where you encrypt what is below it yourself, set ${plainStateVariable}=true.`
  );
}
