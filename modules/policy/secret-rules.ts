import { containersOf } from './containers.ts';
import type { Rule } from './rule.ts';
import { stringsIn, type Body, type Declared } from './template.ts';

/**
 * How a name that leads to secrets may be written, and nothing else.
 *
 * Listing the right forms, rather than the wrong ones, also refuses `["session_token"]`, `me . session_token`, and the
 * whole object handed to a function.
 */
const mentions: readonly (readonly [name: RegExp, allowed: RegExp])[] = [
  [/coder_workspace_owner/g, /\bdata\.coder_workspace_owner\.me\.(id|name|full_name|email)\b(?!\s*[.[])/g],
  [/coder_external_auth/g, /(?!)/g],
  [/coder_agent/g, /\bcoder_agent\.main\.(id|token|init_script)\b/g],
  [/outrigger_secret/g, /\bvar\.outrigger_secret\b/g],
];
const personal = /\b(session_token|ssh_private_key|oidc_access_token|access_token)\b/;

/** Tokens by the marks of who issues them. */
const knownTokens = new RegExp(
  [
    'gh[pousr]_[A-Za-z0-9]{16,}',
    'github_pat_\\w{16,}',
    'glpat-[\\w-]{16,}',
    'sk-[\\w-]{16,}',
    '(AKIA|ASIA)[0-9A-Z]{12,}',
    'xox[abeprs]-[\\w-]{10,}',
    'AIza[\\w-]{30,}',
    'npm_[A-Za-z0-9]{30,}',
    'eyJ[\\w-]{8,}\\.eyJ[\\w-]{8,}\\.[\\w-]+',
  ]
    .map((token) => `(?<![A-Za-z0-9_-])${token}`)
    .concat('-----BEGIN [A-Z ]*PRIVATE KEY')
    .join('|'),
);
const secretName = /(^|_)(secret|token|password|passwd|credential|credentials|api_?key|access_?key|private_?key)$/i;

/** Where secrets come from: never from the person who starts a workspace, and never from the template's text. */
export const secretRules: readonly Rule[] = [
  {
    id: 'secret-reference',
    check: ({ body }) => {
      const texts = stringsIn(body);
      const wrong = mentions.find(([name, allowed]) => texts.some((text) => count(text, name) > count(text, allowed)));
      return wrong === undefined && !texts.some((text) => personal.test(text))
        ? undefined
        : "reaches for the owner's tokens and keys, or for a whole object that holds some. Name the one harmless attribute, such as data.coder_workspace_owner.me.id.";
    },
  },
  {
    id: 'foreign-token',
    check: (declared) => {
      const named = settingsOf(declared).some(
        ([name, value]) => secretName.test(name) && value !== '' && !value.includes('${'),
      );
      return named || stringsIn(declared.body).some((text) => knownTokens.test(text))
        ? 'holds a token or password in its text, and templates are readable by everybody who may use them. Use a sensitive variable.'
        : undefined;
    },
  },
];

/** Names and values that programs are given. */
function settingsOf(declared: Declared): readonly (readonly [name: string, value: string])[] {
  const { kind, type, name, body } = declared;
  const own: Body =
    type === 'coder_env' ? { [String(body.name)]: body.value } : kind === 'local' ? { [name]: body.value } : {};
  const maps = [body.env, body.data, body.value].filter(
    (one) => typeof one === 'object' && !Array.isArray(one),
  ) as Body[];
  return [own, ...maps, ...containersOf(declared).map(({ environment }) => environment)].flatMap((settings) =>
    Object.entries(settings ?? {}).flatMap(([key, value]) =>
      typeof value === 'string' ? [[key, value] as const] : [],
    ),
  );
}

function count(text: string, pattern: RegExp): number {
  return [...text.matchAll(pattern)].length;
}
