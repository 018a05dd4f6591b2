import type { Request, Response } from 'express';
import { sql } from 'kysely';
import { z } from 'zod';
import { credentialNeeded } from '../agents/actions.ts';
import type { AgentEntry } from '../agents/agent-entry.ts';
import { entriesOf } from '../agents/agent-entry-store.ts';
import { agentsSeen } from '../agents/presence.ts';
import type { RegisteredAgent } from '../agents/agent.ts';
import { callerOf } from '../identity/identity.ts';
import type { Database } from '../platform/database.ts';
import { notFound } from '../platform/errors.ts';
import { parse, pathParameter, type Route, listAnswer } from '../platform/http.ts';
import { acceptTask, readAnyTask, type AcceptParts } from './accept-task.ts';
import { activeStates } from './task.ts';
import { accepted, agentStatus, registryItem } from './task-shape.ts';
import { executeBody } from './submit-task.ts';

const registryQuery = z.object({ action: z.string().min(1).max(100).optional() });

/** What there is to run, how it fares, and the one route that takes a task for any of it. */
export function executeRoutes(parts: AcceptParts): Route[] {
  const { database, clock, bounds } = parts;
  const { agents } = bounds.registry;
  return [
    {
      method: 'post',
      path: '/api/v2/agents/execute',
      guard: 'user',
      summary: 'Submits a task to whichever agent supports it.',
      shape: { body: executeBody, answers: { 202: accepted } },
      handler: (request, response) =>
        acceptTask(parts, { route: 'POST execute', read: readAnyTask }, request, response),
    },
    {
      method: 'get',
      path: '/api/v2/agents/registry',
      guard: 'user',
      summary: 'Lists the agents you may use, with their actions, and what your organizations wrote about them.',
      shape: { query: registryQuery, answers: { 200: listAnswer(registryItem) } },
      handler: async (request, response) => {
        const { action } = parse(registryQuery, request.query, 'The query');
        const able = action === undefined ? null : await agentsSeen(database, clock.now(), action);
        const shown = agents.filter((agent) => able?.has(agent.name()) ?? true);
        const { organizationIds } = callerOf(response).actor;
        const entries = await entriesFor(organizationIds);
        const theirs = entries.map(({ name, organizationId }) => ({ name, organization_id: organizationId }));
        response.json({ items: [...(await describe(shown)), ...(able ? [] : theirs)], next_cursor: null });
      },
    },
    {
      method: 'get',
      path: '/api/v2/agents/agentzero/agents',
      guard: 'user',
      summary: 'Lists the agents that a step of your workflow may use: your organization gave what they need.',
      shape: { answers: { 200: listAnswer(registryItem) } },
      handler: async (_request, response) => {
        const entries = await entriesFor(callerOf(response).actor.organizationIds);
        const items = await describe(agents.filter((agent) => hasCredential(agent.name(), entries)));
        response.json({ items, next_cursor: null });
      },
    },
    {
      method: 'get',
      path: '/api/v2/agents/status/:agent',
      guard: 'user',
      summary: 'Says how an agent fares: health, what waits and runs in your organizations, your last failure.',
      shape: { answers: { 200: agentStatus } },
      handler: (request, response) => status(request, response),
    },
  ];

  async function entriesFor(organizationIds: readonly string[]): Promise<readonly AgentEntry[]> {
    return (await Promise.all(organizationIds.map((id) => entriesOf(database, id)))).flat();
  }

  async function describe(some: readonly RegisteredAgent[]) {
    const seen = await agentsSeen(database, clock.now());
    return some.map((agent) => ({
      name: agent.name(),
      organization_id: null,
      health: healthOf(seen.get(agent.name())?.isAvailable),
      actions: agent.actions.map(({ name, summary }) => ({ name, summary })),
    }));
  }

  async function status(request: Request, response: Response): Promise<void> {
    const name = pathParameter(request, 'agent');
    if (!agents.some((one) => one.name() === name)) throw notFound(`Agent '${name}'`);
    const { actor } = callerOf(response);
    const seen = (await agentsSeen(database, clock.now())).get(name);
    const { rows } = await countWork(database, name, actor.organizationIds);
    response.json({
      name,
      health: healthOf(seen?.isAvailable),
      last_seen_at: seen?.seenAt.toISOString() ?? null,
      queue_length: rows[0]?.queued ?? 0,
      running: rows[0]?.running ?? 0,
      last_error: await lastError(database, name, actor.id),
    });
  }
}

/** Whether one of these organizations gave what the agent cannot work without. */
function hasCredential(agent: string, entries: readonly AgentEntry[]): boolean {
  const needed = credentialNeeded[agent];
  if (needed === undefined) return true;
  return entries.some(({ name, spec }) => name === agent && spec.credentials.some(({ env }) => env === needed));
}

const healthOf = (isAvailable: boolean | undefined) => (isAvailable === true ? 'available' : 'unavailable');

const countWork = (database: Database, agent: string, organizationIds: readonly string[]) =>
  sql<{ queued: number; running: number }>`
    select count(*) filter (where state = 'queued') as queued,
           count(*) filter (where state = any(${activeStates})) as running
      from task
     where state <> 'finished' and agent = ${agent} and organization_id = any(${organizationIds}::uuid[])
  `.execute(database.as<unknown>());

/** Of the caller's own tasks only: a message may name what the task was about. */
async function lastError(database: Database, agent: string, ownerId: string) {
  const { rows } = await sql<{ id: string; finished_at: Date; reason: string | null; message: string | null }>`
    select id, finished_at, reason, message from task
     where owner_id = ${ownerId} and agent = ${agent} and outcome in ('failed', 'timed_out')
     order by id desc limit 1`.execute(database.as<unknown>());
  const [last] = rows;
  return last
    ? { task_id: last.id, at: last.finished_at.toISOString(), reason: last.reason, message: last.message }
    : null;
}
