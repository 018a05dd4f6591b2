/** What a budget bounds. Time is that of attempts, from their token's beginning to its end. */
export const budgetKinds = ['tokens', 'micro_usd', 'seconds', 'tool_calls'] as const;
export type BudgetKind = (typeof budgetKinds)[number];
export type Amounts = Readonly<Record<BudgetKind, number>>;

export const scopes = ['organization', 'user', 'task'] as const;
export type Scope = (typeof scopes)[number];
/** `day` and `month` are UTC's; a task has `total` only. */
export const periods = ['day', 'month', 'total'] as const;
export type Period = (typeof periods)[number];

/** One limit that holds for a call. */
export interface Limit {
  readonly scope: Scope;
  /** Whose: an id, or the organization's. */
  readonly target: string;
  readonly period: Period;
  /** Null does not bound that kind. */
  readonly atMost: Readonly<Record<BudgetKind, number | null>>;
}

export interface Spending {
  readonly spent: Amounts;
  /** Of calls that are open: the most that they may come to. */
  readonly reserved: Amounts;
}

/** A person is told at this share of a limit. */
export const warnAt = 0.8;

/** First moment of the period that `now` lies in. */
export function periodStart(period: Period, now: Date): Date {
  const [year, month, day] = [now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate()];
  if (period === 'day') return new Date(Date.UTC(year, month, day));
  if (period === 'month') return new Date(Date.UTC(year, month, 1));
  return new Date(0);
}

const bounded = (limit: Limit): { kind: BudgetKind; atMost: number }[] =>
  budgetKinds.flatMap((kind) => {
    const atMost = limit.atMost[kind];
    return atMost === null ? [] : [{ kind, atMost }];
  });

/**
 * Whether one more call may begin.
 *
 * open     what was spent and what open calls may yet spend lie below every limit, so only the new call can pass one
 * wait     open calls might reach a limit; once they have ended it is known whether they did
 * spent    a limit is reached
 */
export function mayBegin(
  limits: readonly (readonly [Limit, Spending])[],
): 'open' | 'wait' | { spent: Limit; kind: BudgetKind } {
  let answer: 'open' | 'wait' = 'open';
  for (const [limit, { spent, reserved }] of limits)
    for (const { kind, atMost } of bounded(limit)) {
      if (spent[kind] >= atMost) return { spent: limit, kind };
      if (spent[kind] + reserved[kind] >= atMost) answer = 'wait';
    }
  return answer;
}

/** Kinds of a limit of which a person should hear that they are nearly spent. */
export const nearlySpent = (limit: Limit, { spent }: Pick<Spending, 'spent'>): { kind: BudgetKind; atMost: number }[] =>
  bounded(limit).filter(({ kind, atMost }) => spent[kind] >= warnAt * atMost);

const nouns: Readonly<Record<BudgetKind, string>> = {
  tokens: 'tokens',
  micro_usd: 'money',
  seconds: 'time',
  tool_calls: 'tool calls',
};
const owners: Readonly<Record<Scope, string>> = {
  organization: 'the organization',
  user: 'its owner',
  task: 'this task',
};
const spans: Readonly<Record<Period, string>> = { day: ' of this day', month: ' of this month', total: '' };

/** One sentence for the person. It holds no number: the harness would take some for a reason to try again. */
export const spentText = ({ scope, period }: Limit, kind: BudgetKind): string =>
  `The budget of ${owners[scope]}${spans[period]} is used up (${nouns[kind]}).`;
