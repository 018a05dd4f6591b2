import { z } from 'zod';
import { CommandFailure } from './command-failure.ts';

/** What pushing a template asks of the running service, on behalf of a person. */
export interface TemplateSecretClient {
  /** The next secret of a template, in the clear, once. */
  mint(template: string, organizationId: string | undefined): Promise<{ kid: string; secret: string }>;
  /** Says which version a secret was pushed with. */
  attach(template: string, kid: string, templateVersionId: string): Promise<void>;
  retire(template: string, kid: string): Promise<void>;
}

const minted = z.object({ kid: z.string(), secret: z.string().startsWith('ors_') });
const usualTimeoutMs = 30_000;

/** Where the service is, and the Coder token of the person who asks. */
export interface ServiceAccess {
  readonly url: string;
  readonly token: string;
  /** For one call. */
  readonly timeoutMs?: number;
}

export type ServiceCall = (
  method: string,
  path: string,
  body?: unknown,
  headers?: Readonly<Record<string, string>>,
) => Promise<unknown>;

/** The service said no; `status` is of its answer. */
export class ServiceRefusal extends CommandFailure {
  readonly status: number;

  constructor(status: number, message: string) {
    super(1, message);
    this.status = status;
  }
}

/**
 * Calls the service at `url` with a person's Coder token; answers what its JSON says.
 *
 * Errors  `CommandFailure`: 2 when no service of ours answers there; `ServiceRefusal` (1) with the service's own sentence.
 * Safety  no redirects; neither token nor secret is in a message.
 */
export function makeServiceCall({ url, token, timeoutMs = usualTimeoutMs }: ServiceAccess): ServiceCall {
  return async (method, path, body, headers = {}) => {
    const { status, text } = await fetch(url + path, {
      method,
      redirect: 'manual',
      signal: AbortSignal.timeout(timeoutMs),
      headers: {
        Accept: 'application/json',
        'Coder-Session-Token': token,
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
      .then(async (response) => ({ status: response.status, text: await response.text() }))
      .catch((cause: unknown) => {
        throw new CommandFailure(
          2,
          `Outrigger at ${url} could not be reached. Check that it runs, and name it with --service or OUTRIGGER_URL.`,
          { cause },
        );
      });
    const answer = parseJson(text);
    if (status >= 200 && status < 300) return answer;
    throw refused(url, status, answer);
  };
}

/** The secrets of templates at the service, with the errors of `makeServiceCall`. */
export function makeTemplateSecretClient(access: ServiceAccess): TemplateSecretClient {
  const { url } = access;
  const ask = makeServiceCall(access);
  const call = (method: string, template: string, rest: string, body?: unknown): Promise<unknown> =>
    ask(method, `/api/v2/agents/templates/${encodeURIComponent(template)}/secrets${rest}`, body);
  return {
    async mint(template, organizationId) {
      const body = organizationId === undefined ? {} : { organization_id: organizationId };
      const answer = minted.safeParse(await call('POST', template, '', body));
      if (!answer.success) throw notOurs(url);
      return answer.data;
    },
    async attach(template, kid, templateVersionId) {
      await call('PUT', template, `/${kid}`, { template_version_id: templateVersionId });
    },
    async retire(template, kid) {
      await call('DELETE', template, `/${kid}`);
    },
  };
}

const problem = z.object({ detail: z.string(), code: z.string(), request_id: z.string() });

export function refused(url: string, status: number, answer: unknown): CommandFailure {
  const said = problem.safeParse(answer);
  if (!said.success) return notOurs(url);
  const { detail, request_id: requestId } = said.data;
  return new ServiceRefusal(status, status < 500 ? detail : `${detail} (request ${requestId})`);
}

export const notOurs = (url: string): CommandFailure =>
  new CommandFailure(
    2,
    `What answers at ${url} is not an Outrigger of this version. Name the right one with --service or OUTRIGGER_URL.`,
  );

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
