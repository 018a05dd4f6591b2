import express, { type Request, type Response } from 'express';
import { parseDocument } from 'yaml';
import { ServiceError } from './errors.ts';
import { asBodyFault, checkText } from './http.ts';
import { tooMuchYaml } from './yaml-bounds.ts';

/** The body of a route with `rawBody` as text, whatever its type says: YAML has had several. */
export const readBodyText = (request: Request, response: Response, limitBytes: number): Promise<string> =>
  new Promise((resolve, reject) =>
    express.text({ type: () => true, limit: limitBytes })(request, response, (error?: unknown) => {
      if (error !== undefined) reject(asBodyFault(error));
      else resolve(typeof request.body === 'string' ? request.body : '');
    }),
  );

/** One document of YAML, of which JSON is a part. Throws `invalid`, without repeating the text. */
export function readYaml(text: string): unknown {
  const excess = tooMuchYaml(text);
  if (excess !== null) throw tooMuch(excess);
  const document = parseDocument(text, { prettyErrors: false });
  // The library's own message quotes the line. Aliases are not followed: a few make a body of any size.
  const fault = document.errors[0]?.code;
  if (fault !== undefined) throw malformed(fault);
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 0 }) as unknown;
  } catch {
    throw malformed('ALIAS');
  }
  checkText(value);
  return value;
}

const malformed = (code: string): ServiceError =>
  new ServiceError('invalid', 'malformed_yaml', `The body is not a YAML or JSON document (${code}). Check its syntax.`);

const tooMuch = (why: string): ServiceError =>
  new ServiceError('invalid', 'invalid_request', `The body ${why}. Send it flatter, or in parts.`);
