import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import { description } from './description.ts';

const documentId = 'coder';
const validators = new Map<string, ValidateFunction | null>();
let compiler: Ajv2020 | undefined;

function ajv(): Ajv2020 {
  if (compiler) return compiler;
  // Not strict: the document is an OpenAPI description whose schemas are reached by reference.
  compiler = new Ajv2020({ strict: false, allErrors: false, validateFormats: true });
  addFormats.default(compiler);
  compiler.addSchema(description, documentId);
  return compiler;
}

const pointer = (...parts: readonly string[]): string =>
  parts.map((part) => `/${encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1'))}`).join('');

/** The media type our description gives this answer; undefined where it has none. */
export function mediaTypeOf(method: string, path: string, status: number): string | undefined {
  const answer = description.paths[path]?.[method.toLowerCase()]?.responses[String(status)];
  return Object.keys((answer as { content?: object } | undefined)?.content ?? {})[0];
}

function validatorOf(method: string, path: string, status: number): ValidateFunction | null {
  const key = `${method} ${path} ${status}`;
  const known = validators.get(key);
  if (known !== undefined) return known;
  const mediaType = mediaTypeOf(method, path, status);
  const where = pointer(
    'paths',
    path,
    method.toLowerCase(),
    'responses',
    String(status),
    'content',
    mediaType ?? '',
    'schema',
  );
  const validator = mediaType !== undefined ? ajv().compile({ $ref: `${documentId}#${where}` }) : null;
  validators.set(key, validator);
  return validator;
}

/**
 * Says where an answer departs from our description; null when it fits.
 *
 * Shape  a JSON path and what should be there (`/latest_build/status must be string`), never a value.
 */
export function faultOf(method: string, path: string, status: number, body: unknown): string | null {
  const validator = validatorOf(method, path, status);
  if (validator === null) return `status ${status} is not in our description`;
  if (validator(body)) return null;
  const [first] = validator.errors ?? [];
  return `${first?.instancePath || '(body)'} ${first?.message ?? 'does not fit'}`;
}
