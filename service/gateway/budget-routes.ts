import type { Request, Response } from 'express';
import { z } from 'zod';
import { isUuid, type Clock } from '../platform/clock.ts';
import { notFound, ServiceError } from '../platform/errors.ts';
import { parse, pathParameter, requestId, type Route } from '../platform/http.ts';
import {
  actorOf,
  makeAdmitOrganizationAdmin,
  organizationOfMember,
  type OrganizationAdminParts,
} from '../secrets/organization-admin.ts';
import { budgetKinds, periods, scopes, type Amounts } from './budget.ts';
import { budgetsOf, deleteBudget, saveBudget, spendingOf, type Budget } from './budget-store.ts';

export interface BudgetRouteParts extends OrganizationAdminParts {
  readonly clock: Clock;
}

const base = '/api/v2/agents/budgets';
const amount = z.number().int().min(1).max(1_000_000_000_000).optional();
const amounts = { tokens: amount, micro_usd: amount, seconds: amount, tool_calls: amount };
const body = z
  .strictObject({ period: z.enum(periods).optional(), ...amounts })
  .refine((given) => budgetKinds.some((kind) => given[kind] !== undefined), {
    message: 'bounds nothing; give tokens, micro_usd, seconds or tool_calls, or delete the budget',
  });
const scope = z.enum(scopes);
const shown = z.number().int().nullable();
const budgetAnswer = z.strictObject({
  organization_id: z.uuid(),
  scope,
  target: z.string().meta({ description: 'A user id, or * for the organization, for each user or for each task.' }),
  period: z.enum(periods),
  tokens: shown,
  micro_usd: shown,
  seconds: shown,
  tool_calls: shown,
  spent: z
    .strictObject({ tokens: z.number(), micro_usd: z.number(), seconds: z.number(), tool_calls: z.number() })
    .nullable()
    .meta({ description: 'In the period that runs; null where the budget is of each user or task.' }),
});
const listAnswer = z.strictObject({ items: z.array(budgetAnswer), next_cursor: z.null() });

/** What the model calls of an organization, its people and its tasks may use. Its admins write, members read. */
export function budgetRoutes(parts: BudgetRouteParts): Route[] {
  const { database } = parts;
  const admit = makeAdmitOrganizationAdmin(parts);

  async function keyOf(request: Request, response: Response, action: string) {
    const chosen = parse(scope, pathParameter(request, 'scope'), 'The scope');
    const target = pathParameter(request, 'target').toLowerCase();
    if (target !== '*' && !(chosen === 'user' && isUuid(target))) throw notFound(`The target '${target}' of a budget`);
    const what = { action, target: { type: `${chosen}_budget`, id: target } };
    return { organizationId: await admit(request, response, what), scope: chosen, target };
  }

  const change = (response: Response, key: Pick<Budget, 'organizationId' | 'scope' | 'target'>, action: string) => ({
    actor: actorOf(response),
    action,
    target: { type: `${key.scope}_budget`, id: key.target },
    outcome: 'success' as const,
    organizationId: key.organizationId,
    requestId: requestId(response),
  });

  return [
    {
      method: 'get',
      path: base,
      guard: 'user',
      summary: 'Lists the budgets of your organization, and what is spent of them.',
      shape: { answers: { 200: listAnswer } },
      handler: async (request, response) => {
        const organizationId = organizationOfMember(request, response);
        const items = [];
        for (const budget of await budgetsOf(database.as(), organizationId))
          items.push(present(budget, await spentOf(parts, budget)));
        response.json({ items, next_cursor: null });
      },
    },
    {
      method: 'put',
      path: `${base}/:scope/:target`,
      guard: 'user',
      summary:
        'Bounds the model calls of the organization, of its users or of its tasks, in tokens, money, time or tool calls.',
      shape: { body, answers: { 200: budgetAnswer } },
      handler: async (request, response) => {
        const key = await keyOf(request, response, 'budget.written');
        const { period, ...given } = parse(body, request.body ?? {}, 'The budget');
        const atMost = {
          tokens: given.tokens ?? null,
          micro_usd: given.micro_usd ?? null,
          seconds: given.seconds ?? null,
          tool_calls: given.tool_calls ?? null,
        };
        const budget = { ...key, period: periodOf(key.scope, period), atMost };
        await database.transaction(async (tx) => {
          await saveBudget(tx.as(), budget);
          const data = { ...atMost, period: budget.period };
          await parts.audit.append(tx, { ...change(response, key, 'budget.written'), data });
        });
        response.json(present(budget, await spentOf(parts, budget)));
      },
    },
    {
      method: 'delete',
      path: `${base}/:scope/:target`,
      guard: 'user',
      summary: 'Takes a budget away.',
      shape: { answers: { 204: null } },
      handler: async (request, response) => {
        const key = await keyOf(request, response, 'budget.deleted');
        await database.transaction(async (tx) => {
          if (!(await deleteBudget(tx.as(), key))) throw notFound(`The budget of ${key.scope} '${key.target}'`);
          await parts.audit.append(tx, change(response, key, 'budget.deleted'));
        });
        response.status(204).end();
      },
    },
  ];
}

function periodOf(of: Budget['scope'], asked: Budget['period'] | undefined): Budget['period'] {
  if (of !== 'task') return asked ?? 'month';
  if (asked === undefined || asked === 'total') return 'total';
  throw new ServiceError(
    'invalid',
    'budget_period',
    "A task's budget is for all of it: leave period out, or send total.",
  );
}

/** Of everybody's budget nobody can say one number. */
async function spentOf({ database, clock }: BudgetRouteParts, budget: Budget): Promise<Amounts | null> {
  const { organizationId, target } = budget;
  if (budget.scope !== 'organization' && target === '*') return null;
  const whose = { ...budget, target: budget.scope === 'organization' ? organizationId : target };
  return (await spendingOf(database.as(), organizationId, whose, clock.now())).spent;
}

const present = ({ organizationId, scope, target, period, atMost }: Budget, spent: Amounts | null) => ({
  organization_id: organizationId,
  scope,
  target,
  period,
  ...atMost,
  spent,
});
