import type { Construct } from 'constructs';
import { followTask, idePathSalt, names, paths } from '../contract.ts';
import { interpolation } from '../hcl/expressions.ts';
import type { Agent } from '../providers/generated/coder/agent/index.ts';
import { App as CoderApp } from '../providers/generated/coder/app/index.ts';
import type { Choices } from './choices.ts';
import { ideAddress } from './ide-choice.ts';

/** Joins the running attempt's session from a terminal of the worker; its page would need a wildcard host. */
export function openCodeApp(scope: Construct, agent: Agent): CoderApp {
  return new CoderApp(scope, `app:${names.apps.opencode}`, {
    agentId: agent.id,
    slug: names.apps.opencode,
    displayName: 'OpenCode',
    icon: '/icon/opencode.svg',
    order: 2,
    command: `${paths.enter} ${paths.tools}/attach`,
  });
}

/**
 * The editor in the browser, behind Coder's proxy.
 *
 * The path is a capability: Coder adds it on its side, and whoever else reaches the port gets nothing without it. It
 * is made from the workspace agent's token, so it changes with each build and the sidecar cannot make it. While a task
 * runs, the app opens on that task's files instead of the repository.
 */
export function ideApp(scope: Construct, agent: Agent, choices: Choices): CoderApp {
  const gate = `${ideAddress}/\${sha256("${idePathSalt}\${${agent.fqn}.token}")}`;
  const app = new CoderApp(scope, `app:${names.apps.ide}`, {
    agentId: agent.id,
    slug: names.apps.ide,
    displayName: interpolation(choices.ide),
    icon: '/icon/code.svg',
    order: 1,
    share: 'owner',
    url: `${gate}/?folder=${interpolation(choices.folder)}&${followTask}`,
    healthcheck: { url: `${gate}/healthz`, interval: 5, threshold: 6 },
  });
  app.addOverride('subdomain', interpolation('var.wildcard_host'));
  app.addOverride('count', interpolation(`${choices.hasIde} ? 1 : 0`));
  return app;
}
