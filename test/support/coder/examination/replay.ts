import { request as httpRequest } from 'node:http';
import type { RecordedWorld } from './recorded-world.ts';
import type { Recording } from './recordings.ts';

export interface Replayed {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  /** Parsed where it is JSON, else text; undefined for an empty body. */
  readonly body: unknown;
}

/** Sends the recorded request to the simulation, with the recorded names of tokens replaced. */
export function replay({ coder, tokens }: RecordedWorld, recording: Recording): Promise<Replayed> {
  const { method, path, headers } = recording.request;
  const named = (text: string): string =>
    text.replaceAll(/<([a-z0-9-]+)>/g, (_whole, name: string) => {
      const token = tokens[name];
      if (token === undefined) throw new Error(`${recording.name} needs the token <${name}>.`);
      return token;
    });
  const body = bodyOf(recording.request.body);
  const sent = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, named(value)]));
  return new Promise((resolve, reject) => {
    // Not fetch: it would clean the path and add headers of its own.
    const request = httpRequest(`${coder.url}`, {
      method,
      path: named(path),
      headers: { ...sent, 'Content-Length': body.length },
    });
    request.on('error', reject);
    request.on('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        const json = response.headers['content-type']?.includes('json') === true;
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: text === '' ? undefined : json ? (JSON.parse(text) as unknown) : text,
        });
      });
    });
    request.end(body);
  });
}

/** Bytes for a recorded body, also where the recording only describes them. */
function bodyOf(body: unknown): Buffer {
  if (body === undefined) return Buffer.alloc(0);
  if (typeof body === 'string') return Buffer.from(body);
  const { $tar: tar, $bytes: size, $text: text } = body as { $tar?: unknown; $bytes?: number; $text?: string };
  if (tar !== undefined) return Buffer.from('stands for the bytes of one archive');
  if (text !== undefined) return Buffer.from(text);
  if (size !== undefined) return Buffer.from('{"checks":{}}'.padEnd(size));
  return Buffer.from(JSON.stringify(body));
}
