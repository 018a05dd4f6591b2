import type { Authority } from './host-name.ts';

/** Why something was not passed on. */
export const refusals = {
  not_listed: [
    403,
    'is not on the list of this workspace. Ask Outrigger for it: POST .../workspaces/ID/egress/requests',
  ],
  private_address: [403, 'leads into a private network, or to this machine or its link. An admin can name the range.'],
  host_mismatch: [403, 'is asked for under another name: the server name or Host says something else.'],
  no_sni: [403, 'is asked for without a server name, so nobody can tell who is meant.'],
  hidden_sni: [403, 'is asked for with an encrypted server name.'],
  not_tls: [403, 'is asked for in a protocol other than TLS or HTTP/1.1.'],
  address: [403, 'is an address. Only names are on the list.'],
  malformed: [400, 'is asked for by a request that can be read in two ways, or in none.'],
  unknown_name: [502, 'has no address.'],
  unreachable: [502, 'does not answer.'],
} as const satisfies Readonly<Record<string, readonly [status: number, sentence: string]>>;
export type RefusalReason = keyof typeof refusals;

/** Said to the client, and told to the service when a list or a rule was the cause. */
export class Refusal extends Error {
  readonly why: RefusalReason;
  readonly host: string;
  readonly port: number;
  constructor(why: RefusalReason, { host, port }: Authority) {
    super(`${host}:${String(port)} ${refusals[why][1]}`);
    this.why = why;
    this.host = host;
    this.port = port;
  }
}

/** A whole answer of HTTP, after which the connection ends. */
export function refusalAnswer({ why, message }: Refusal): string {
  const body = `Outrigger: ${message}\n`;
  const status = refusals[why][0];
  const words = { 400: 'Bad Request', 403: 'Forbidden', 502: 'Bad Gateway' }[status];
  return [
    `HTTP/1.1 ${String(status)} ${words}`,
    'content-type: text/plain; charset=utf-8',
    `content-length: ${String(Buffer.byteLength(body))}`,
    `x-outrigger-egress: ${why}`,
    'connection: close',
    '',
    body,
  ].join('\r\n');
}
