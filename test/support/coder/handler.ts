import { refuse, type Answer } from './answers.ts';
import type { Caller } from './rights.ts';
import type { World } from './world.ts';

export interface Asked {
  readonly world: World;
  readonly caller: Caller;
  readonly path: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly contentType: string;
  readonly bytes: Buffer;
}

export interface SimulatedRoute {
  readonly method: 'GET' | 'POST' | 'PATCH';
  /** The same template as in our description. */
  readonly path: string;
  readonly handle: (asked: Asked) => Answer;
}

/** Thrown where a handler cannot go on; the server sends the answer. */
export class Refused extends Error {
  readonly answer: Answer;

  constructor(answer: Answer) {
    super(`refused with ${answer.status}`);
    this.answer = answer;
  }
}

export type Fields = Readonly<Record<string, unknown>>;

/** The JSON object of a body. Text after the value is ignored and so is the content type, as Coder does. */
export function readObject(asked: Asked, goType: string): Fields {
  const text = asked.bytes.toString('utf8');
  if (text === '') throw notJson('EOF');
  const value = parseFirst(text);
  if (value === undefined) throw notJson('unexpected EOF');
  if (Array.isArray(value)) throw notJson(`json: cannot unmarshal array into Go value of type codersdk.${goType}`);
  if (typeof value !== 'object' || value === null)
    throw notJson(`json: cannot unmarshal into Go value of type codersdk.${goType}`);
  return value as Fields;
}

export const textOf = (fields: Fields, name: string): string => {
  const value = fields[name];
  return typeof value === 'string' ? value : '';
};

export const listOf = (fields: Fields, name: string): readonly unknown[] => {
  const value = fields[name];
  return Array.isArray(value) ? value : [];
};

export const notJson = (detail: string): Refused =>
  new Refused(refuse(400, 'Request body must be valid JSON.', detail));

function parseFirst(text: string): unknown {
  for (let end = text.length; end > 1; end = text.lastIndexOf('}', end - 2) + 1) {
    try {
      return JSON.parse(text.slice(0, end)) as unknown;
    } catch {
      // The value may end earlier.
    }
  }
  return undefined;
}
