import type { Socket } from 'node:net';
import { makeBodyFrame } from './body-frame.ts';
import { makeInbox, type Inbox } from './inbox.ts';
import { endOfHead, type PlainRequest } from './request-head.ts';

const mostAnswerHeadBytes = 64 * 1024;
/** A model may think for long before it begins to answer. */
const answerMs = 10 * 60_000;

/**
 * Sends one request and brings its answer back; then the connection is over, whatever either side says.
 *
 * What the client sends behind its request is nobody's: a second request on the same connection would otherwise reach
 * a server that was never asked about. Only an upgrade that the server agreed to goes on both ways.
 */
export async function passPlain(client: Socket, inbox: Inbox, server: Socket, request: PlainRequest): Promise<void> {
  client.once('close', () => server.destroy());
  server.on('error', () => client.destroy());
  const answers = makeInbox(server);
  if (request.expectsContinue) client.write('HTTP/1.1 100 Continue\r\n\r\n');
  server.write(request.head, 'latin1');
  sendBody(client, inbox, server, request);
  const { head, status } = await answerHead(answers);
  client.write(head, 'latin1');
  answers.flow((piece) => client.write(piece));
  client.on('drain', () => server.resume());
  if (status === 101 && request.isUpgrade) {
    inbox.flow((piece) => server.write(piece));
    client.on('end', () => server.end());
  }
  server.on('end', () => client.destroySoon());
  server.on('close', () => client.destroySoon());
}

function sendBody(client: Socket, inbox: Inbox, server: Socket, { framing, isUpgrade }: PlainRequest): void {
  // Held back until the server has agreed: before that it would read them as requests.
  if (isUpgrade) return;
  const frame = makeBodyFrame(framing);
  server.on('drain', () => client.resume());
  inbox.flow((piece) => {
    if (frame.isDone()) return true;
    try {
      return server.write(frame.feed(piece));
    } catch {
      client.destroy();
      return true;
    }
  });
}

/** The first answer that is not "go on"; it says that the connection ends. */
async function answerHead(answers: Inbox): Promise<{ readonly head: string; readonly status: number }> {
  for (;;) {
    const end = await answers.until(endOfHead, mostAnswerHeadBytes, answerMs);
    const text = answers.take(end).toString('latin1');
    const status = Number(/^HTTP\/1\.[01] (\d{3})(?: |\r)/.exec(text)?.[1] ?? Number.NaN);
    if (Number.isNaN(status)) throw new Error('The server does not answer in HTTP/1.1.');
    if (status === 101) return { head: text, status };
    if (status < 200) continue;
    const lines = text.slice(0, -4).split('\r\n');
    const kept = lines.filter((line) => !/^(connection|keep-alive|proxy-[\w-]+):/i.test(line));
    return { head: `${[...kept, 'connection: close'].join('\r\n')}\r\n\r\n`, status };
  }
}
