import type { Construct } from 'constructs';
import { paths } from '../contract.ts';
import { explain } from '../hcl/comment.ts';
import { literal } from '../hcl/expressions.ts';
import type { Agent } from '../providers/generated/coder/agent/index.ts';
import { Script } from '../providers/generated/coder/script/index.ts';
import { background, foreground } from './background.ts';

/** Starts the worker's own program: it runs the IDE, guards its port, and tells Coder what the agent does. */
export function helperProgram(scope: Construct, agent: Agent): void {
  const helper = new Script(scope, 'script:helper', {
    agentId: agent.id,
    displayName: 'Editor and status',
    icon: '/icon/code.svg',
    runOnStart: true,
    startBlocksLogin: false,
    script: literal(background('helper', [paths.opencode, paths.helper, 'serve'])),
  });
  explain(
    helper,
    "Runs the editor on a socket, guards its port, and tells Coder what the agent does. OpenCode's runtime runs it.",
  );
  new Script(scope, 'script:helper-stop', {
    agentId: agent.id,
    displayName: 'Close the editor',
    icon: '/icon/code.svg',
    runOnStop: true,
    timeout: 60,
    script: literal(foreground([paths.opencode, paths.helper, 'stop'])),
  });
}
