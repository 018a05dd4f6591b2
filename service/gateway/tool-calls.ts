import { createHash } from 'node:crypto';
import { z } from 'zod';
import { canonicalJson } from '../platform/canonical.ts';

const piece = z.looseObject({
  index: z.number().int().min(0).max(1_000).nullish(),
  function: z.looseObject({ name: z.string().nullish(), arguments: z.string().nullish() }).nullish(),
});

/** Of one answer; what is longer is told apart by its beginning. */
const charactersAtMost = 256 * 1024;

/** Puts the tool calls of one answer together, from a stream's pieces or from the whole. */
export interface ToolCalls {
  see(calls: readonly unknown[]): void;
  count(): number;
  /** Equal for answers that call the same tools with the same arguments; null for an answer without a call. */
  signature(): string | null;
}

export function makeToolCalls(): ToolCalls {
  const calls = new Map<number, { name: string; args: string }>();
  let characters = 0;
  return {
    see(pieces) {
      for (const [place, raw] of pieces.entries()) {
        const parsed = piece.safeParse(raw);
        const { index, function: called } = parsed.success ? parsed.data : {};
        const at = index ?? place;
        const call = calls.get(at) ?? { name: '', args: '' };
        calls.set(at, call);
        if (characters > charactersAtMost) continue;
        call.name += called?.name ?? '';
        call.args += called?.arguments ?? '';
        characters += (called?.name ?? '').length + (called?.arguments ?? '').length;
      }
    },
    count: () => calls.size,
    signature() {
      if (calls.size === 0) return null;
      const list = [...calls].sort(([one], [other]) => one - other).map(([, { name, args }]) => [name, sameArgs(args)]);
      return createHash('sha256').update(JSON.stringify(list)).digest('base64url').slice(0, 22);
    },
  };
}

/** Spaces and the order of names in arguments mean nothing. */
function sameArgs(text: string): string {
  try {
    return canonicalJson(JSON.parse(text));
  } catch {
    return text;
  }
}
