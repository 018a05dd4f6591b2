import type { Request } from 'express';
import { ServiceError } from '../platform/errors.ts';

/** The bytes of a body as they came, which is what a signature is over. Throws `too_large`, or `invalid` for compressed ones. */
export async function readRawBody(request: Request, limitBytes: number): Promise<Buffer> {
  const encoding = request.headers['content-encoding'];
  if (encoding !== undefined && encoding !== 'identity') throw compressed();
  if (Number(request.headers['content-length'] ?? 0) > limitBytes) throw tooLarge(limitBytes);
  const pieces: Buffer[] = [];
  let size = 0;
  // Leaving the loop must not destroy the socket: the refusal still has to travel on it.
  for await (const piece of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    size += piece.length;
    if (size > limitBytes) throw tooLarge(limitBytes);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

const compressed = (): ServiceError =>
  new ServiceError('invalid', 'unreadable_body', 'The body is compressed. Send it as it is.');

const tooLarge = (limitBytes: number): ServiceError =>
  new ServiceError(
    'too_large',
    'body_too_large',
    `The body is larger than ${limitBytes} bytes. Send fewer events, or smaller ones.`,
  );
