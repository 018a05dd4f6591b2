/** A secret that the service is given as a file, and how an admin gives it to a stack. */
export interface ServiceSecret {
  /** Name of the file; the stack's variable is the same with `_` and `_file`. */
  readonly file: string;
  /** The service's own variable, without `_FILE`. */
  readonly environment: string;
  /** Completes "Path of a file that holds …". */
  readonly what: string;
  /** `always`: the service is of no use without; `database`: goes with a database of one's own. */
  readonly needed: 'always' | 'database' | 'never';
}

/** Every secret of the service. */
export const serviceSecrets: readonly ServiceSecret[] = [
  {
    file: 'coder-token',
    environment: 'OUTRIGGER_CODER_TOKEN',
    what: "the service's own Coder token",
    needed: 'always',
  },
  {
    file: 'model-api-key',
    environment: 'OPENROUTER_API_KEY',
    what: 'the key of the model provider',
    needed: 'never',
  },
  {
    file: 'database-url',
    environment: 'DATABASE_URL',
    what: 'the postgres:// address of your database; empty: the service keeps its own Postgres on its volume',
    needed: 'never',
  },
  {
    file: 'keyring',
    environment: 'CREDENTIAL_ENCRYPTION_KEYRING',
    what: 'the key ring {"1":"<32 bytes as base64>"}, which replicas share',
    needed: 'database',
  },
  {
    file: 'audit-signing-key',
    environment: 'AUDIT_SIGNING_KEY',
    what: 'the key that signs the audit, 32 bytes as base64, which replicas share',
    needed: 'database',
  },
  {
    file: 'metrics-token',
    environment: 'METRICS_TOKEN',
    what: 'the token of whoever collects metrics, at least 16 characters',
    needed: 'never',
  },
];

/** Where the files are in the container. */
export const secretsDirectory = '/run/secrets';

export const variableOf = ({ file }: ServiceSecret): string => `${file.replaceAll('-', '_')}_file`;

/** HCL: whether the admin gave this secret. */
export const isGiven = (secret: ServiceSecret): string => `var.${variableOf(secret)} != ""`;

/** HCL: whether the service uses a database of the admin's, so that it may have replicas. */
export const hasDatabase = 'var.database_url_file != ""';
