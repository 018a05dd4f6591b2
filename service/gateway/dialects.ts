/** What a kind of upstream understands beside the common words of a chat completion. */
export interface Dialect {
  readonly name: 'openrouter' | 'openai' | 'anthropic' | 'ollama' | 'other';
  /** Ends of host names; an upstream of another host is `other`, or Ollama by its port. */
  readonly hosts: readonly string[];
  /** Where its OpenAI-compatible interface begins, for an address without a path. */
  readonly basePath: string;
  /** Fields it would refuse or misread. */
  readonly omits: readonly string[];
  readonly renames: Readonly<Record<string, string>>;
  readonly adds: Readonly<Record<string, unknown>>;
}

const openRouterOnly = ['usage', 'reasoning', 'include_reasoning', 'top_k', 'min_p', 'repetition_penalty', 'verbosity'];

/**
 * Sources: the API references of OpenRouter (usage accounting), OpenAI (chat completions: `max_tokens` is deprecated and
 * refused by reasoning models), Anthropic (OpenAI SDK compatibility) and Ollama (OpenAI compatibility), November 2026.
 */
const dialects: readonly Dialect[] = [
  {
    name: 'openrouter',
    hosts: ['openrouter.ai'],
    basePath: '/api/v1',
    omits: [],
    renames: {},
    adds: { usage: { include: true } },
  },
  {
    name: 'openai',
    hosts: ['openai.com'],
    basePath: '/v1',
    omits: openRouterOnly.filter((field) => field !== 'verbosity'),
    renames: { max_tokens: 'max_completion_tokens' },
    adds: {},
  },
  {
    name: 'anthropic',
    hosts: ['anthropic.com'],
    basePath: '/v1',
    omits: [...openRouterOnly, 'seed', 'logit_bias', 'prompt_cache_key', 'presence_penalty', 'frequency_penalty'],
    renames: { max_completion_tokens: 'max_tokens' },
    adds: {},
  },
  {
    name: 'ollama',
    hosts: ['ollama'],
    basePath: '/v1',
    omits: [...openRouterOnly, 'logit_bias', 'prompt_cache_key', 'parallel_tool_calls'],
    renames: { max_completion_tokens: 'max_tokens' },
    adds: {},
  },
];
const other: Dialect = { name: 'other', hosts: [], basePath: '', omits: [], renames: {}, adds: {} };
const ollamaPort = '11434';

export function dialectOf(upstreamUrl: string): Dialect {
  const { hostname, port } = new URL(upstreamUrl);
  const named = port === ollamaPort ? 'ollama' : hostname;
  const speaks = ({ hosts }: Dialect): boolean => hosts.some((host) => named === host || named.endsWith(`.${host}`));
  return dialects.find(speaks) ?? other;
}

/** Base of an upstream's routes: `http://ollama:11434` and `https://openrouter.ai` mean their compatible interface. */
export function baseUrlOf(upstreamUrl: string): string {
  const bare = upstreamUrl.replace(/\/+$/, '');
  const hasPath = new URL(upstreamUrl).pathname !== '/';
  return hasPath ? bare : bare + dialectOf(upstreamUrl).basePath;
}

/** The body in the words of this upstream. */
export function inDialect(dialect: Dialect, body: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const kept = Object.entries(body).filter(([name]) => !dialect.omits.includes(name));
  const named = kept.map(([name, value]) => [dialect.renames[name] ?? name, value] as const);
  return { ...Object.fromEntries(named), ...dialect.adds };
}
