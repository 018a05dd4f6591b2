import { names, paths } from '../contract.ts';
import { containersOf, podOf, type AnyContainer } from './containers.ts';
import type { Rule, Whole } from './rule.ts';
import { argvsIn, stringsIn, type Body, type Declared } from './template.ts';

const { worker, sidecar } = names.containers;

const onContainers = (id: string, check: (container: AnyContainer) => string | undefined): Rule => ({
  id,
  check: (declared) => {
    const refused = containersOf(declared).flatMap((one) => {
      const why = check(one);
      return why === undefined
        ? []
        : [podOf(declared) === undefined ? why : `has the container "${one.name}", which ${why}`];
    });
    return refused.length === 0 ? undefined : refused.join(' It also ');
  },
});

/** What a workspace is on every platform: who mounts what, who listens where, and what an agent may do. */
export const workspaceRules: readonly Rule[] = [
  onContainers('tools-read-only', ({ name, isInit, mounts }) => {
    const isGuarded = (path: string): boolean =>
      path === paths.tools || path === paths.customCa || (name !== worker && path.includes(paths.nix));
    const writable = [...mounts].flatMap(([path, readOnly]) => (isGuarded(path) && !readOnly ? [path] : []));
    return isInit || writable.length === 0
      ? undefined
      : `can change what the other containers run or trust (${writable.join(', ')}). Mount it read-only.`;
  }),
  onContainers('home-of-worker', ({ name, isInit, mounts }) =>
    name === worker || isInit || !mounts.has(paths.home)
      ? undefined
      : "mounts the person's home folder, with their keys. Only the worker may.",
  ),
  onContainers('closed-listeners', ({ name, environment }) => {
    const open = ['PPROF', 'DEBUG', 'PROMETHEUS']
      .map((listener) => `CODER_AGENT_${listener}_ADDRESS`)
      .filter((variable) => !String(environment[variable]).startsWith('192.0.2.'));
    return name !== worker || open.length === 0
      ? undefined
      : `lets Coder's agent answer on the loopback that the sidecar shares. Set ${open.join(', ')} to an address that cannot be bound.`;
  }),
  { id: 'inert-git', check: inertGit },
  { id: 'api-key-scope', check: apiKeyScope },
  { id: 'runtime-claim', check: runtimeClaim },
  { id: 'ide-command', check: ideCommand },
  { id: 'permission', check: permission },
  { id: 'max-profile', check: maxProfile },
];

const inertSettings = ['core.fsmonitor', 'core.hooksPath', 'protocol.ext.allow'];

function inertGit({ type, body }: Declared): string | undefined {
  if (type !== 'coder_agent') return undefined;
  const environment = (body.env ?? {}) as Body;
  const given = Object.keys(environment).filter((name) => name.startsWith('GIT_CONFIG_KEY_'));
  const isWhole =
    inertSettings.every((setting) => given.some((name) => environment[name] === setting)) &&
    given.every((name) => typeof environment[name.replace('KEY', 'VALUE')] === 'string') &&
    environment.GIT_CONFIG_COUNT === String(given.length);
  return isWhole
    ? undefined
    : `lets git run what a repository names. Set ${inertSettings.join(', ')} through GIT_CONFIG_COUNT and its keys and values.`;
}

function apiKeyScope({ type, body }: Declared): string | undefined {
  if (type !== 'coder_agent') return undefined;
  const scope = String(body.api_key_scope);
  return scope === 'no_user_data' || /== "process" \? "no_user_data" : "all"\}$/.test(scope)
    ? undefined
    : 'gives an agent in the worker the keys of its owner. Set api_key_scope to no_user_data where agent_mode is "process".';
}

/** Kata is called Kata only where it is asked for, and shown before an agent starts. */
function runtimeClaim(declared: Declared): string | undefined {
  const pod = podOf(declared);
  const claiming = containersOf(declared).filter(({ environment }) => environment.OUTRIGGER_RUNTIME !== undefined);
  if (pod === undefined || claiming.length === 0) return undefined;
  if (typeof pod.runtime_class_name !== 'string' || /null/.test(pod.runtime_class_name)) {
    return 'claims an isolation that it does not ask for. Set runtime_class_name.';
  }
  const agents = containersOf(declared).filter(({ name }) => name === sidecar);
  const unproven = agents.filter(
    ({ argv, environment }) =>
      environment.OUTRIGGER_RUNTIME === undefined ||
      environment.OUTRIGGER_NODE_KERNELS === undefined ||
      !argv.some((word) => /runtime-proof check && exec /.test(word)),
  );
  return unproven.length === 0
    ? undefined
    : 'claims an isolation, and its agent starts without a proof of it. Begin the command with `runtime-proof check`, and give it OUTRIGGER_NODE_KERNELS.';
}

/** code-server has no password of its own here, so who reaches its socket is its user. */
function ideCommand({ body }: Declared): string | undefined {
  const commands = [...stringsIn(body), ...argvsIn(body)].filter((text) =>
    /\b(code-server|openvscode-server|serve-web)["']?\s+(\S+\s+)*--/.test(text),
  );
  const reachable = commands.filter(
    (text) => !/--socket(-path)?[= ]/.test(text) && !/--(bind-addr|host)[= ]"?(127\.0\.0\.1|localhost)\b/.test(text),
  );
  if (reachable.length > 0) return 'starts an IDE beyond loopback. Give it --socket, or --bind-addr 127.0.0.1.';
  return commands.some((text) => !/--(disable-telemetry|telemetry-level[= ]off)\b/.test(text))
    ? 'starts an IDE that reports home. Add --disable-telemetry.'
    : undefined;
}

const allowsAll = /"\*"\s*:\s*"allow"|^allow$/;

/** An agent that asks nothing is for an owner who chose so, within what the admin allows. */
function permission(declared: Declared): string | undefined {
  const values = [
    ...containersOf(declared).map(({ environment }) => environment.OPENCODE_PERMISSION),
    ...(declared.type === 'coder_env' && declared.body.name === 'OPENCODE_PERMISSION' ? [declared.body.value] : []),
    ...(declared.type === 'coder_agent' ? [(declared.body.env as Body | undefined)?.OPENCODE_PERMISSION] : []),
  ].map((value) => String(value ?? '').replaceAll('\\"', '"'));
  return values.some((value) => allowsAll.test(value) && !/permission_profile\.value == "trusted" \?/.test(value))
    ? 'lets the agent do everything unasked. Give OPENCODE_PERMISSION only where the profile is "trusted".'
    : undefined;
}

/** Elsewhere than in a virtual machine, "trusted" is for an admin to opt in to. */
function maxProfile({ kind, name, body }: Declared, { all }: Whole): string | undefined {
  if (kind !== 'variable' || name !== 'max_profile' || body.default !== 'trusted') return undefined;
  const provesKata = all.some((declared) =>
    containersOf(declared).some(({ environment }) => environment.OUTRIGGER_RUNTIME === 'kata'),
  );
  return provesKata
    ? undefined
    : 'allows agents everything without an admin having said so. Set its default to "ask", or run the pods under Kata.';
}
