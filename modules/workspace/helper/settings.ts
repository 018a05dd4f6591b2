import { createHash } from 'node:crypto';
import { basename, join } from 'node:path';
import { helperEnvironment, idePathSalt, paths, ports } from '../../contract.ts';

type Environment = Readonly<Record<string, string | undefined>>;

export interface HelperSettings {
  /** Shared with the sidecar: everything read there is hostile. */
  readonly runDir: string;
  /** The helper's own folder in the person's home: the IDE's data, logs and process ids. */
  readonly dataDir: string;
  /** One file for each fact that Coder's agent metadata shows. */
  readonly factsDir: string;
  /** The wrapper behind which everything of a workspace is started. */
  readonly enter: string;
  /** Where the image has Nix: its store; else null. */
  readonly nixDir: string | null;
  /** Kind of the IDE, as the template names it. */
  readonly ide: string;
  readonly ideEnabled: boolean;
  readonly gatePort: number;
  /** Path under which browsers see the IDE, where that is not `/`; else empty. */
  readonly basePath: string;
  /** Where repositories and the work trees of tasks are. */
  readonly workspaceDir: string;
  /** First element of every path that the gate answers, 64 hexadecimal digits; null without an agent token. */
  readonly gatePath: string | null;
  readonly allowedExtensions: readonly string[];
  readonly agentToken: string | null;
  readonly agentUrl: string | null;
}

/**
 * What the template and Coder's workspace agent say.
 *
 * Errors   none: a bad value counts as not set, because the person's container must not depend on the helper.
 */
export function takeSettings(environment: Environment): HelperSettings {
  const text = (name: string): string | null => environment[name]?.trim() || null;
  const agentToken = text(helperEnvironment.agentToken);
  const home = text('HOME') ?? '/tmp';
  return {
    runDir: text(helperEnvironment.runDir) ?? paths.run,
    dataDir: join(home, '.local/share/outrigger-ide'),
    factsDir: join(home, '.local/state/outrigger/facts'),
    enter: join(text(helperEnvironment.toolsDir) ?? paths.tools, basename(paths.enter)),
    nixDir: text(helperEnvironment.nixDir),
    ide: text(helperEnvironment.ide) ?? 'code-server',
    ideEnabled: text(helperEnvironment.ideEnabled) === 'true',
    gatePort: portOf(text(helperEnvironment.idePort)) ?? ports.ide,
    basePath: text(helperEnvironment.ideBasePath) ?? '',
    workspaceDir: text(helperEnvironment.workspaceDir) ?? paths.workspace,
    gatePath: agentToken === null ? null : gatePathOf(agentToken),
    allowedExtensions: (text(helperEnvironment.allowedExtensions) ?? '').split(/[\s,]+/).filter(isExtension),
    agentToken,
    agentUrl: text(helperEnvironment.agentUrl),
  };
}

/** The capability that opens the gate. Terraform makes the same for `coder_app.url`; it dies with the build. */
export const gatePathOf = (agentToken: string): string =>
  createHash('sha256').update(`${idePathSalt}${agentToken}`).digest('hex');

const isExtension = (id: string): boolean => /^(\*|[\w-]+(\.[\w-]+)?)$/.test(id);

function portOf(text: string | null): number | null {
  const port = Number(text ?? Number.NaN);
  return Number.isInteger(port) && port >= 1 && port <= 65_535 ? port : null;
}

/** Settings of the helper's runtime, of its own start and of other servers than the one that is started. */
const withheld =
  /^(BUN_|OUTRIGGER_IDE|OUTRIGGER_ALLOWED_|OPENVSCODE_|VSCODE_(?!PROXY_URI$)|ELECTRON_|NODE_OPTIONS$|CODE_SERVER_|PORT$|PASSWORD$|HASHED_PASSWORD$)/;

/**
 * The environment of the IDE, which its terminals inherit: the same as that of Coder's own terminals.
 *
 * It keeps CODER_AGENT_TOKEN, as those do: `coder gitssh` and `coder gitaskpass` authenticate with it. With BUN_BE_BUN
 * in it, `opencode` in a terminal would be a JavaScript runtime instead of OpenCode.
 */
export function ideEnvironment(environment: Environment): Record<string, string> {
  return Object.fromEntries(
    Object.entries(environment).filter(
      (entry): entry is [string, string] => entry[1] !== undefined && !withheld.test(entry[0]),
    ),
  );
}
