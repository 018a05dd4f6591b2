import {
  commandNotAllowed,
  readingTools,
  toolLimits,
  toolTypes,
  type ServiceRequests,
  type ToolGrant,
  type ToolType,
} from '../../../contract.ts';
import { argvOf } from './commands.ts';
import type { Brake } from './brake.ts';

/** One function for each tool; a rejection's message is the answer to whoever asked. */
export type ToolCommands = {
  readonly [Type in ToolType]: (payload: ServiceRequests[Type]['payload']) => Promise<ServiceRequests[Type]['data']>;
};

/**
 * The tools as one session may use them: what its profile does not allow, or what comes too fast, is refused with a
 * sentence, before anything is touched.
 *
 * Guard rail  a profile says what a program may be asked to do. What keeps it there is the container, not this list.
 */
export function guardTools(tools: ToolCommands, session: { brake: Brake; grant?: ToolGrant }): ToolCommands {
  const guarded = (type: ToolType) => async (payload: unknown) => {
    if (!session.brake()) throw new Error(tooFast);
    if (typeof payload !== 'object' || payload === null || Array.isArray(payload))
      throw new Error(`The payload of ${type} must be an object.`);
    const given = payload as ToolGrant & Record<string, unknown>;
    if (!isAllowed(type, session.grant ?? given)) throw new Error(commandNotAllowed(nameOf(type, given)));
    return await (tools[type] as (value: unknown) => Promise<unknown>)(given);
  };
  return Object.fromEntries(toolTypes.map((type) => [type, guarded(type)])) as ToolCommands;
}

export const tooFast =
  `Too many requests: ${toolLimits.burst} are answered at once and ${toolLimits.perSecond} a second. ` +
  'This one was not done; send it again in a moment.';

const isAllowed = (type: ToolType, { profile = 'trusted', approved }: ToolGrant): boolean =>
  readingTools.includes(type) || profile === 'trusted' || (profile === 'ask' && approved === true);

/** A command is called by its program. */
function nameOf(type: ToolType, payload: Record<string, unknown>): string {
  if (type !== 'runCommand') return type;
  try {
    return argvOf(payload['command'])[0] ?? type;
  } catch {
    return type;
  }
}
