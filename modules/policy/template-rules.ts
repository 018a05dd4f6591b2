import { bridgeEnvironment, names, tokenPrefix } from '../contract.ts';
import { digestPattern } from '../contract.ts';
import { containersOf } from './containers.ts';
import type { Rule, Whole } from './rule.ts';
import { argvsIn, blocksOf, stringsIn, type Body, type Declared } from './template.ts';

/** What the policy can judge. A type that is not here has no rules, so it may not be used. */
const judgedTypes = new Set([
  'coder_agent',
  'coder_app',
  'coder_env',
  'coder_metadata',
  'coder_script',
  'docker_container',
  'docker_network',
  'docker_volume',
  'kubernetes_deployment_v1',
  'kubernetes_namespace_v1',
  'kubernetes_network_policy_v1',
  'kubernetes_persistent_volume_claim_v1',
  'kubernetes_resource_quota_v1',
  'kubernetes_secret_v1',
]);

const digest = new RegExp(`${digestPattern}$`);
const chosenByAdmin = /^\$\{(var\.\w+_image|var\.executor_images\[0\]|local\.executor_image)\}$/;
const secretName = /(^|_)(secret|token|password|credential|api_key|private_key)(_|$)/;
const ourTokens = new RegExp(`(${Object.values(tokenPrefix).join('|')})([A-Za-z0-9]+_)?[A-Za-z0-9_-]{43}`);
const agentToken = /coder_agent\.[\w-]+(\[\d+\])?\.token/;
const templateSecret = /var\.outrigger_secret/;

/** What holds for every template, on any platform. */
export const templateRules: readonly Rule[] = [
  {
    id: 'judged-type',
    check: ({ kind, type }) =>
      kind !== 'resource' || judgedTypes.has(type)
        ? undefined
        : `is a ${type}, which the policy has no rules for. Write them in modules/policy before using it.`,
  },
  {
    id: 'label',
    check: ({ kind, name }) =>
      !['resource', 'data'].includes(kind) || !/_[0-9A-F]{8}$/.test(name)
        ? undefined
        : 'has a hashed label, which changes when code moves. Call overrideLogicalId or shorten the construct path.',
  },
  {
    id: 'agent-name',
    check: ({ type, name }) =>
      type !== 'coder_agent' || name === names.workspaceAgent
        ? undefined
        : `is named "${name}". Programs find the workspace agent under "${names.workspaceAgent}": use that id.`,
  },
  { id: 'pinned-image', check: pinnedImage },
  { id: 'image-variable', check: imageVariable },
  { id: 'image-choice', check: imageChoice },
  { id: 'secret-variable', check: secretVariable },
  {
    id: 'secret-text',
    check: ({ body }) =>
      stringsIn(body).some((text) => ourTokens.test(text))
        ? 'holds a token in its text, and templates are readable by everybody who may use them. Use a sensitive variable.'
        : undefined,
  },
  { id: 'agent-token', check: agentTokenInWorkerOnly },
  { id: 'template-secret', check: secretInSidecarOnly },
  { id: 'loopback', check: loopbackOnly },
  {
    id: 'app-share',
    check: ({ type, body }) =>
      type !== 'coder_app' || body.share === undefined || body.share === 'owner'
        ? undefined
        : `is shared with ${JSON.stringify(body.share)}. Apps of a workspace belong to its owner: remove \`share\`.`,
  },
  { id: 'app-url', check: appUrl },
  { id: 'app-link', check: appLink },
];

function pinnedImage(declared: Declared): string | undefined {
  const loose = containersOf(declared).find(({ image }) => !chosenByAdmin.test(image) && !digest.test(image));
  return loose === undefined
    ? undefined
    : `uses the image ${JSON.stringify(loose.image)}, which may change under the same name. Pin it by @sha256 or take it from an image variable.`;
}

/** `local.executor_image` is what `pinned-image` trusts, so it may hold only what the form and the admin bound. */
function imageChoice({ kind, name, body }: Declared): string | undefined {
  if (kind === 'local' && name === 'images') {
    return String(body.value).startsWith('${{ for image in var.executor_images : ')
      ? undefined
      : 'offers images that the admin did not list. Make it of var.executor_images alone.';
  }
  if (kind !== 'local' || name !== 'executor_image') return undefined;
  const chosen =
    /^\$\{data\.coder_parameter\.executor_image\.value( == "own" \? data\.coder_parameter\.own_image\[0\]\.value : local\.images\[data\.coder_parameter\.executor_image\.value\])?\}$/;
  return chosen.test(String(body.value))
    ? undefined
    : 'takes an image from elsewhere than the form. Use data.coder_parameter.executor_image or own_image: their values are bounded.';
}

function imageVariable({ kind, name, body }: Declared, { givenImage }: Whole): string | undefined {
  if (kind !== 'variable' || !/_images?$/.test(name) || /^allow/.test(name)) return undefined;
  if (body.default !== undefined && stringsIn(body.default).some((image) => image !== givenImage))
    return 'names an image in its default. Remove the default: `push` fills it from the lock.';
  const checked = blocksOf(body, 'validation').some((one) =>
    /@sha256:|contains\(var\.executor_images/.test(String(one.condition)),
  );
  return checked ? undefined : 'accepts images without a digest. Add a validation that requires @sha256.';
}

function secretVariable({ kind, name, body }: Declared): string | undefined {
  if (kind !== 'variable') return undefined;
  if (secretName.test(name) && body.sensitive !== true)
    return 'is a secret by its name, but not sensitive. Set sensitive = true.';
  return body.sensitive === true && body.default !== undefined
    ? 'is sensitive and has a default, so everybody who reads the template knows it. Remove the default.'
    : undefined;
}

/** The token itself belongs to the worker; anybody else may have only a hash of it. */
function agentTokenInWorkerOnly({ type, name, body }: Declared): string | undefined {
  if (type === 'docker_container' && name === names.containers.worker) return undefined;
  // Which container is given this key of a Secret is the rule pod-secret-keys.
  const { CODER_AGENT_TOKEN: _own, ...others } = (body.data ?? {}) as Body;
  const judged = type === 'kubernetes_secret_v1' ? { ...body, data: others } : body;
  return stringsIn(judged).some((text) => agentToken.test(withoutHashes(text)))
    ? "is given Coder's agent token, which may act for the workspace. Only the worker may have it."
    : undefined;
}

/** The template's secret leaves Terraform only as a proof, and only into the environment of the bridge. */
function secretInSidecarOnly({ kind, type, name, body }: Declared): string | undefined {
  if (kind === 'variable') return undefined;
  const using = stringsIn(body).filter((text) => templateSecret.test(text));
  if (using.length === 0) return undefined;
  const inSidecar = type === 'docker_container' && name === names.containers.sidecar;
  // The proxy's own proof, which registers nothing.
  const inProxy =
    type === 'docker_container' &&
    name === names.containers.egress &&
    using.every((text) => text.includes(':egress:$'));
  const inWorker = type === 'coder_env' && name === 'bridge-proof' && String(body.count).includes('== "process" ?');
  const inSecret = type === 'kubernetes_secret_v1';
  const proof = inSecret ? ((body.data ?? {}) as Body)[bridgeEnvironment.proof] : undefined;
  const environment = stringsIn(inSidecar || inProxy ? body.env : inWorker ? body.value : proof);
  const onlyHashed = using.every((text) => environment.includes(text) && !templateSecret.test(withoutHashes(text)));
  return onlyHashed
    ? undefined
    : "uses the template's secret. It may appear only inside a hash in the sidecar's environment.";
}

/** Text without `sha256(…)` and without the secret's key id, both of which tell nothing. */
function withoutHashes(text: string): string {
  let left = text.replaceAll('split("_", var.outrigger_secret)[1]', '');
  for (let start = left.indexOf('sha256('); start !== -1; start = left.indexOf('sha256(')) {
    left = left.slice(0, start) + left.slice(closingParenthesis(left, start + 'sha256('.length));
  }
  return left;
}

function closingParenthesis(text: string, from: number): number {
  let depth = 1;
  for (let at = from; at < text.length; at += 1) {
    if (text[at] === '(') depth += 1;
    if (text[at] === ')') depth -= 1;
    if (depth === 0) return at + 1;
  }
  return text.length;
}

const serves = /\bopencode["']?\s+(-\S+\s+)*serve\b/;

/** Whatever listens in a workspace listens on loopback, and OpenCode asks for a password. */
function loopbackOnly({ body }: Declared): string | undefined {
  const texts = [...stringsIn(body), ...argvsIn(body)];
  if (
    texts.some((text) => /(^|[^\d.])0\.0\.0\.0(?!\/\d)|\[::\]|--host(name)?[= ](?!127\.0\.0\.1|localhost)/.test(text))
  ) {
    return 'listens beyond loopback. Bind to 127.0.0.1.';
  }
  const openCode = texts.some((text) => serves.test(text));
  return openCode && !texts.some((text) => text.includes('OPENCODE_SERVER_PASSWORD'))
    ? 'serves OpenCode without a password. Set OPENCODE_SERVER_PASSWORD.'
    : undefined;
}

function appUrl({ type, body }: Declared, { all }: Whole): string | undefined {
  if (type !== 'coder_app' || body.url === undefined || body.external === true) return undefined;
  return loopbackUrl(body, all)
    ? undefined
    : `points at ${JSON.stringify(body.url)}. An app is on http://127.0.0.1 of the workspace, or external.`;
}

/** Coder writes the person's session token where an external app says `$SESSION_TOKEN`. */
function appLink({ type, body }: Declared): string | undefined {
  const url = String(body.url);
  if (type !== 'coder_app' || body.external !== true) return undefined;
  return /^(\$\{var\.outrigger_page_url\}\/|https:\/\/)/.test(url) && !/session_token/i.test(url)
    ? undefined
    : `links to ${JSON.stringify(body.url)}. An external app opens outrigger_page_url or https, and is given no token.`;
}

/** The port may be a variable of the admin that is a number: text there could name another host behind an @. */
function loopbackUrl(body: Body, all: readonly Declared[]): boolean {
  const found = /^http:\/\/(127\.0\.0\.1|localhost)(:(\d+|\$\{var\.(?<variable>\w+)\}))?(\/|$)/.exec(String(body.url));
  const name = found?.groups?.variable;
  if (found === null || name === undefined) return found !== null;
  return all.some(
    ({ kind, name: known, body: { type } }) => kind === 'variable' && known === name && type === 'number',
  );
}
