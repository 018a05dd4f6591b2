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
const timeoutMs = 30_000;

/**
 * Calls the service at `url` with a person's Coder token.
 *
 * Errors  `CommandFailure`: 2 when no service of ours answers there, 1 with the service's own sentence when it refuses.
 * Safety  no redirects; neither token nor secret is in a message.
 */
export function makeTemplateSecretClient(options: {
  readonly url: string;
  readonly token: string;
}): TemplateSecretClient {
  const { url, token } = options;
  const call = async (method: string, template: string, rest: string, body?: unknown): Promise<unknown> => {
    const { status, text } = await fetch(
      `${url}/api/v2/agents/templates/${encodeURIComponent(template)}/secrets${rest}`,
      {
        method,
        redirect: 'manual',
        signal: AbortSignal.timeout(timeoutMs),
        headers: {
          Accept: 'application/json',
          'Coder-Session-Token': token,
          ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      },
    )
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

function refused(url: string, status: number, answer: unknown): CommandFailure {
  const said = problem.safeParse(answer);
  if (!said.success) return notOurs(url);
  const { detail, request_id: requestId } = said.data;
  return new CommandFailure(1, status < 500 ? detail : `${detail} (request ${requestId})`);
}

const notOurs = (url: string): CommandFailure =>
  new CommandFailure(
    2,
    `What answers at ${url} is not an Outrigger of this version. Name the right one with --service or OUTRIGGER_URL.`,
  );

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
