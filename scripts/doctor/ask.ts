/** What a web address answered; `status` is null where nothing did. */
export interface Asked {
  readonly status: number | null;
  /** The answer as JSON; undefined where it is none. */
  readonly body: unknown;
  /** Why there is no answer. */
  readonly error: string;
}

const deadlineMs = 10_000;

/** Asks with GET. Never throws, follows no redirect, and repeats nothing of the headers. */
export async function ask(url: string, headers: Readonly<Record<string, string>> = {}): Promise<Asked> {
  try {
    const response = await fetch(url, {
      redirect: 'manual',
      headers: { Accept: 'application/json', ...headers },
      signal: AbortSignal.timeout(deadlineMs),
    });
    const body: unknown = await response.json().catch(() => undefined);
    return { status: response.status, body, error: '' };
  } catch (error) {
    return { status: null, body: undefined, error: reasonOf(error) };
  }
}

/** The innermost reason of a failed fetch, such as ECONNREFUSED; never the address, which may hold a password. */
function reasonOf(error: unknown): string {
  const { name, cause } = error as { name?: unknown; cause?: { code?: unknown } };
  if (name === 'TimeoutError') return `no answer within ${deadlineMs / 1000} s`;
  return typeof cause?.code === 'string' ? cause.code : 'no connection';
}
