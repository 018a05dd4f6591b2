/** What a handler answers. `text` and `bytes` are sent as they are, `body` as JSON. */
export interface Answer {
  readonly status: number;
  readonly body?: unknown;
  readonly text?: string;
  readonly bytes?: Buffer;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Validation {
  readonly field: string;
  readonly detail: string;
}

export const ok = (body: unknown, status = 200): Answer => ({ status, body });

/** A refusal in Coder's form. */
export const refuse = (
  status: number,
  message: string,
  detail?: string,
  validations?: readonly Validation[],
): Answer => ({
  status,
  body: { message, ...(detail === undefined ? {} : { detail }), ...(validations ? { validations } : {}) },
});

export const notFound = (): Answer => refuse(404, 'Resource not found or you do not have access to this resource');

const askAdmin =
  "You don't have permission to view this content. If you believe this is a mistake, please contact your administrator or try signing in with different credentials.";
export const forbidden = (message = 'Forbidden.'): Answer => refuse(403, message, askAdmin);

export const validationFailed = (
  ...faults: readonly (readonly [field: string, tag: string, value: string])[]
): Answer =>
  refuse(
    400,
    'Validation failed.',
    undefined,
    faults.map(([field, tag, value]) => ({
      field,
      detail: `Validation failed for tag "${tag}" with value: "${value}"`,
    })),
  );

export const nameTaken = (message: string): Answer =>
  refuse(409, message, undefined, [{ field: 'name', detail: 'This value is already in use and should be unique.' }]);

export const badUuid = (text: string): Answer =>
  refuse(400, `Invalid UUID "${text}".`, `invalid UUID length: ${text.length}`);

export const isUuid = (text: string): boolean =>
  /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i.test(text);
export const noId = '00000000-0000-0000-0000-000000000000';
export const time = (ms: number): string => new Date(ms).toISOString();
