/** Providers whose keys the gateway knows by the name people keep them under, with the end of their host names. */
const providers: Readonly<Record<string, string>> = {
  ANTHROPIC_API_KEY: 'anthropic.com',
  OPENROUTER_API_KEY: 'openrouter.ai',
  OPENAI_API_KEY: 'openai.com',
  GEMINI_API_KEY: 'googleapis.com',
  GROQ_API_KEY: 'groq.com',
  MISTRAL_API_KEY: 'mistral.ai',
  DEEPSEEK_API_KEY: 'deepseek.com',
  XAI_API_KEY: 'x.ai',
};

/** Whose work a key is asked for; without an owner it is the organization's, without a task it is only looked at. */
export interface KeyOwner {
  readonly organizationId: string;
  readonly ownerId?: string;
  readonly workspaceId?: string;
  readonly taskId?: string;
  readonly attempt?: number;
}

/** Whether an entry of this name is a model provider's key, which only the gateway may hold. */
export const isProviderKey = (name: string): boolean => Object.hasOwn(providers, name);

/**
 * The name of the key that this upstream takes, so that no provider is ever shown the key of another.
 *
 * A host of nobody above takes the one that the service's own setting is named after.
 */
export function providerKeyName(upstreamUrl: string): string {
  return knownKeyOf(upstreamUrl) ?? 'OPENROUTER_API_KEY';
}

/** Whether an upstream is one of those that answer nobody without a key; a model of one's own may need none. */
export const wantsKey = (upstreamUrl: string): boolean => knownKeyOf(upstreamUrl) !== undefined;

function knownKeyOf(upstreamUrl: string): string | undefined {
  const { hostname } = new URL(upstreamUrl);
  return Object.entries(providers).find(([, host]) => hostname === host || hostname.endsWith(`.${host}`))?.[0];
}
