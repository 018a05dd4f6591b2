import { z } from 'zod';
import {
  artifactBounds,
  bridgeEventTypes,
  ideStatePhases,
  limits,
  reasons,
  type BridgeRequestType,
} from '../../modules/contract.ts';

const attemptRef = z.object({ task_id: z.uuid(), attempt: z.number().int().min(1) });
const count = z.number().int().min(0);
const text = (max: number) => z.string().max(max);
const dataObject = z.record(z.string(), z.unknown());

const stopReceipt = z.object({
  stopped_at: text(64),
  method: z.enum(['abort', 'term', 'kill', 'already_gone']),
  processes_left: count,
  tokens_after_stop: count,
});

export const evidence = z.object({
  session_id: text(200).nullable(),
  last_message: z
    .object({
      finish: text(100).nullable(),
      error: z.object({ name: text(200), message: text(4_000), status_code: z.number().int().optional() }).nullable(),
      text: text(limits.eventBytes),
    })
    .nullable(),
  tool_exits: z
    .array(
      z.object({
        tool: text(200),
        call_id: text(200),
        status: z.enum(['completed', 'error', 'interrupted']),
        exit: z.number().int().nullable(),
        title: text(2_000),
      }),
    )
    .max(5_000),
  rejected_asks: count,
  diff: z.object({ files: count, additions: count, deletions: count }),
  changed_files: z.array(text(4_096)).max(5_000),
  branch: text(300).nullable(),
  commit: z
    .string()
    .regex(/^[0-9a-f]{40,64}$/)
    .nullable(),
  verify: z.object({ exit: z.number().int().nullable(), timed_out: z.boolean(), output: text(32_768) }).nullable(),
  command: z.object({ exit: z.number().int().nullable(), timed_out: z.boolean() }).optional(),
  verify_rejected: z.boolean(),
  failure: z.object({ reason: z.enum(reasons), message: text(4_000), retryable: z.boolean() }).nullable(),
  stop: stopReceipt.nullable(),
});

/**
 * What a bridge may say. A workspace is hostile ground: every field has a type and a bound,
 * unknown fields are dropped.
 */
export const requestSchemas = {
  lease: z.object({ slots: z.number().int().min(0).max(4), holding: z.array(attemptRef).max(16) }),
  event: attemptRef.extend({
    source_seq: z.number().int().min(1),
    type: z.enum(bridgeEventTypes),
    at: z.iso.datetime({ offset: true }),
    data: dataObject,
  }),
  ask: attemptRef.extend({
    ask_id: text(200).min(1),
    kind: z.enum(['permission', 'question', 'verify']),
    title: text(2_000),
    detail: dataObject,
  }),
  artifact: attemptRef.extend({
    name: z.string().regex(artifactBounds.name),
    bytes: count.max(artifactBounds.fileBytes),
    sha256: z.string().regex(/^[0-9a-f]{64}$/),
    offset: count,
    data: text(Math.ceil(artifactBounds.chunkBytes / 3) * 4),
  }),
  result: attemptRef.extend({ evidence }),
  heartbeat: z.object({
    holding: z.array(attemptRef).max(16),
    status: text(500),
    ide: z
      .object({ enabled: z.boolean().nullable(), phase: z.enum(ideStatePhases).nullable(), message: text(500) })
      .optional(),
  }),
} satisfies { [Type in BridgeRequestType]: z.ZodType<unknown> };

export const isRequestType = (type: string): type is BridgeRequestType => Object.hasOwn(requestSchemas, type);

/** Any frame that arrives: a request has a `type`, a reply has `success`. */
export const incomingFrame = z.union([
  z.object({ id: z.uuid(), type: text(100), payload: z.unknown() }),
  z.object({ id: z.uuid(), success: z.literal(true), data: z.unknown() }),
  z.object({ id: z.uuid(), success: z.literal(false), error: text(4_000) }),
]);
