import type { Construct } from 'constructs';
import { names, paths } from '../contract.ts';
import type { Agent } from '../providers/generated/coder/agent/index.ts';
import { App as CoderApp } from '../providers/generated/coder/app/index.ts';

/** Joins the running attempt's session from a terminal of the worker. */
export function openCodeApp(scope: Construct, agent: Agent): CoderApp {
  return new CoderApp(scope, `app:${names.apps.opencode}`, {
    agentId: agent.id,
    slug: names.apps.opencode,
    displayName: 'OpenCode',
    icon: '/icon/opencode.svg',
    order: 1,
    command: `${paths.tools}/attach`,
  });
}
