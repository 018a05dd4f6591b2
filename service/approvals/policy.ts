import { z } from 'zod';
import { timing } from '../../modules/contract.ts';
import type { Database, Transaction } from '../platform/database.ts';
import { storableJson } from '../platform/storable.ts';
import { unansweredEnds, type ApprovalKind, type Unanswered } from './approval.ts';

/** What an organization says of the questions of its tasks. */
export interface ApprovalPolicy {
  readonly unanswered: Unanswered;
  /** How long a question may hold its attempt. */
  readonly holdMs: number;
  /** How long it may wait in all, where it is parked. */
  readonly expireMs: number;
  /** Command lines that need no person: exactly these, to the letter. */
  readonly allowCommands: readonly string[];
}

/** Nobody has said anything: a question holds its attempt ten minutes and waits a day. */
export const usualPolicy: ApprovalPolicy = {
  unanswered: 'park',
  holdMs: timing.askMs,
  expireMs: timing.parkedMs,
  allowCommands: [],
};

const day = 86_400;

export const policyBody = z
  .strictObject({
    unanswered: z.enum(unansweredEnds),
    hold_seconds: z
      .int()
      .min(30)
      .max(day)
      .default(usualPolicy.holdMs / 1_000),
    expire_seconds: z
      .int()
      .min(60)
      .max(7 * day)
      .default(usualPolicy.expireMs / 1_000),
    allow_commands: z.array(z.string().min(1).max(2_000)).max(100).default([]),
  })
  .refine((body) => body.unanswered !== 'park' || body.expire_seconds >= body.hold_seconds, {
    path: ['expire_seconds'],
    message: 'A parked question must wait at least as long as it holds its attempt.',
  });

export const readPolicyBody = (body: z.output<typeof policyBody>): ApprovalPolicy => ({
  unanswered: body.unanswered,
  holdMs: body.hold_seconds * 1_000,
  expireMs: body.expire_seconds * 1_000,
  allowCommands: body.allow_commands,
});

export const policyAnswer = z
  .strictObject({
    organization_id: z.string(),
    unanswered: z.enum(unansweredEnds),
    hold_seconds: z.int(),
    expire_seconds: z.int(),
    allow_commands: z.array(z.string()),
  })
  .meta({ id: 'ApprovalPolicy' });

export const presentPolicy = (organizationId: string, policy: ApprovalPolicy) => ({
  organization_id: organizationId,
  unanswered: policy.unanswered,
  hold_seconds: policy.holdMs / 1_000,
  expire_seconds: policy.expireMs / 1_000,
  allow_commands: policy.allowCommands,
});

/** Whether the organization lets this call pass unasked: a command it listed, and nothing that only looks like it. */
export const isListed = (
  { allowCommands }: ApprovalPolicy,
  kind: ApprovalKind,
  detail: Readonly<Record<string, unknown>>,
): boolean =>
  kind === 'permission' &&
  detail['permission'] === 'bash' &&
  typeof detail['command'] === 'string' &&
  allowCommands.includes(detail['command']);

interface Tables {
  approval_policy: { organization_id: string; policy: unknown; updated_at: Date; updated_by: string };
}

export async function policyOf(database: Pick<Database, 'as'>, organizationId: string): Promise<ApprovalPolicy> {
  const row = await database
    .as<Tables>()
    .selectFrom('approval_policy')
    .select('policy')
    .where('organization_id', '=', organizationId)
    .executeTakeFirst();
  return row ? (row.policy as ApprovalPolicy) : usualPolicy;
}

export async function savePolicy(
  tx: Transaction,
  organizationId: string,
  policy: ApprovalPolicy,
  by: { actor: string; now: Date },
): Promise<void> {
  const values = { policy: storableJson(policy), updated_at: by.now, updated_by: by.actor };
  await tx
    .as<Tables>()
    .insertInto('approval_policy')
    .values({ organization_id: organizationId, ...values })
    .onConflict((conflict) => conflict.column('organization_id').doUpdateSet(values))
    .execute();
}
