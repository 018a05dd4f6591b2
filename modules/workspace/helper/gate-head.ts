/** Head of a message: lines of names and values in their order, as they came. */
export type Headers = readonly (readonly [name: string, value: string])[];

export interface RequestHead {
  readonly method: string;
  /** Origin form, beginning with a slash. */
  readonly target: string;
  readonly headers: Headers;
}

export interface ResponseHead {
  /** The whole first line. */
  readonly statusLine: string;
  readonly status: number;
  readonly headers: Headers;
}

/** Coder sends cookies and its own headers along; more than this is nobody's browser. */
export const maxHeadBytes = 64 * 1024;
const maxHeaders = 128;

const requestLine = /^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (\/[\x21-\x7e]*) HTTP\/1\.1$/;
const statusLine = /^HTTP\/1\.[01] ([1-5]\d\d)(?: .*)?$/;
const headerLine = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*$/;

/** Where the empty line ends that ends a head, or null while it has not come. */
export function endOfHead(bytes: Buffer): number | null {
  const at = bytes.indexOf('\r\n\r\n');
  return at === -1 ? null : at + 4;
}

/** Null for whatever is not plainly one HTTP/1.1 request whose end two readers would see in the same place. */
export function parseRequest(head: Buffer): RequestHead | null {
  const [first = '', ...lines] = linesOf(head);
  const match = requestLine.exec(first);
  const headers = parseHeaders(lines);
  if (match === null || headers === null || !hasOneLength(headers)) return null;
  return { method: match[1] ?? '', target: match[2] ?? '', headers };
}

export function parseResponse(head: Buffer): ResponseHead | null {
  const [first = '', ...lines] = linesOf(head);
  const match = statusLine.exec(first);
  const headers = parseHeaders(lines);
  if (match === null || headers === null) return null;
  return { statusLine: first, status: Number(match[1]), headers };
}

export const printHead = (firstLine: string, headers: Headers): string =>
  `${[firstLine, ...headers.map(([name, value]) => `${name}: ${value}`)].join('\r\n')}\r\n\r\n`;

export function valueOf(headers: Headers, name: string): string | null {
  return headers.find(([known]) => known.toLowerCase() === name)?.[1] ?? null;
}

const linesOf = (head: Buffer): string[] => head.toString('latin1').slice(0, -4).split('\r\n');

function parseHeaders(lines: readonly string[]): Headers | null {
  if (lines.length > maxHeaders) return null;
  const headers: [string, string][] = [];
  for (const line of lines) {
    const match = headerLine.exec(line);
    if (match === null) return null;
    headers.push([match[1] ?? '', match[2] ?? '']);
  }
  return headers;
}

function hasOneLength(headers: Headers): boolean {
  const all = (name: string): string[] =>
    headers.filter(([known]) => known.toLowerCase() === name).map(([, value]) => value);
  const [lengths, codings] = [all('content-length'), all('transfer-encoding')];
  if (lengths.length + codings.length > 1) return false;
  return lengths.every((value) => /^\d{1,15}$/.test(value)) && codings.every((value) => /^chunked$/i.test(value));
}
