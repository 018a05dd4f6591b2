import { readFileSync } from 'node:fs';
import type { Construct } from 'constructs';
import { interpolation, literal } from '../hcl/expressions.ts';
import type { Agent } from '../providers/generated/coder/agent/index.ts';
import { Script } from '../providers/generated/coder/script/index.ts';
import type { WorkspaceParameters } from './parameters.ts';

/** The script as people read and test it. */
export const cloneScriptUrl = new URL('clone.sh', import.meta.url);

/**
 * Clones the chosen repository when the workspace starts.
 *
 * The owner's text reaches the shell as base64 only, so no quote or `$(…)` in it can become a command.
 */
export function cloneRepository(scope: Construct, agent: Agent, parameters: WorkspaceParameters): Script {
  const base64 = (value: string): string => interpolation(`base64encode(${value})`);
  const lines = readFileSync(cloneScriptUrl, 'utf8').split('\n');
  const shebang = lines[0] ?? '';
  const body = lines.slice(1).filter((line) => !/^#( |$)/.test(line));
  const script = [
    shebang,
    `REPOSITORY_BASE64='${base64(`${parameters.gitRepository.fqn}.value`)}'`,
    `REF_BASE64='${base64(`${parameters.gitRef.fqn}.value`)}'`,
    literal(body.join('\n')),
  ].join('\n');
  return new Script(scope, 'script:clone', {
    agentId: agent.id,
    displayName: 'Clone repository',
    icon: '/icon/git.svg',
    runOnStart: true,
    startBlocksLogin: false,
    timeout: 900,
    script,
  });
}
