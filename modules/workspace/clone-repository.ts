import { readFileSync } from 'node:fs';
import type { Construct } from 'constructs';
import { explain } from '../hcl/comment.ts';
import { interpolation, literal } from '../hcl/expressions.ts';
import type { Agent } from '../providers/generated/coder/agent/index.ts';
import { DataCoderExternalAuth } from '../providers/generated/coder/data-coder-external-auth/index.ts';
import { Script } from '../providers/generated/coder/script/index.ts';
import type { Choices } from './choices.ts';

/** The scripts as people read and test them. */
export const cloneScriptUrl = new URL('clone.sh', import.meta.url);
export const nixScriptUrl = new URL('nix.sh', import.meta.url);

/**
 * Clones the chosen repositories when the workspace starts, and takes up a `workspace.nix` afterwards.
 *
 * The owner's text reaches the shell as base64 only, so no quote or `$(…)` in it can become a command. Coder's agent
 * answers git's questions for a password (external authentication), so no token is in an address or a file.
 */
export function cloneRepository(scope: Construct, agent: Agent, choices: Choices): void {
  const auth = new DataCoderExternalAuth(scope, 'external-auth:git', {
    id: interpolation('var.external_auth_id'),
    optional: true,
  });
  auth.addOverride('count', interpolation('var.external_auth_id == "" ? 0 : 1'));
  const clone = new Script(scope, 'script:clone', {
    agentId: agent.id,
    displayName: 'Clone repository',
    icon: '/icon/git.svg',
    runOnStart: true,
    startBlocksLogin: false,
    timeout: 900,
    script: withValues(cloneScriptUrl, {
      REPOSITORY_BASE64: choices.repository,
      REF_BASE64: choices.ref,
      REPOS_JSON_BASE64: choices.moreRepositories,
    }),
  });
  explain(
    clone,
    'modules/workspace/clone.sh, without its comments. What people typed arrives as base64, so nothing of it is a command.',
  );
  const nix = new Script(scope, 'script:nix', {
    agentId: agent.id,
    displayName: 'workspace.nix',
    icon: '/icon/nix.svg',
    runOnStart: true,
    startBlocksLogin: false,
    timeout: 3600,
    script: withValues(nixScriptUrl, { NIX_CONFIG_BASE64: choices.nixConfig, FOLDER_BASE64: choices.folder }),
  });
  explain(nix, 'modules/workspace/nix.sh, without its comments.');
  nix.addOverride('count', interpolation(`${choices.hasNix} ? 1 : 0`));
}

/** A script without its comments, after the values it works on. Each is an HCL expression of a string. */
function withValues(url: URL, values: Readonly<Record<string, string>>): string {
  const lines = readFileSync(url, 'utf8').split('\n');
  const body = lines.slice(1).filter((line) => !/^#( |$)/.test(line));
  const given = Object.entries(values).map(([name, hcl]) => `${name}='${interpolation(`base64encode(${hcl})`)}'`);
  return [lines[0] ?? '', ...given, literal(body.join('\n'))].join('\n');
}
