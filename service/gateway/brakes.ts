/** When an attempt is taken to run in circles; 0 turns a brake off. */
export interface BrakeLimits {
  /** The same tool calls so often, one after the other or in turns of up to `longestTurn`. */
  readonly identicalCalls: number;
  /** So many answers in a row whose tool calls had all been made before in the attempt: nothing new was tried. */
  readonly staleCalls: number;
  /** Model calls of one attempt within a minute. */
  readonly callsPerMinute: number;
}

/**
 * Defaults. A person's own patience is the measure: eight times the same command, or thirty steps without a new one.
 * The rate is five a second, which no model that thinks reaches.
 */
export const usualBrakes: BrakeLimits = { identicalCalls: 8, staleCalls: 30, callsPerMinute: 300 };

/** A, B, A, B… is as much a loop as A, A, A. */
const longestTurn = 4;

/** Why answers that carry these tool calls, oldest first, are a loop; null when they are none. */
export function loopIn(signatures: readonly string[], limits: BrakeLimits): string | null {
  const { identicalCalls, staleCalls } = limits;
  for (let turn = 1; turn <= longestTurn && identicalCalls > 1; turn++)
    if (endsInTurns(signatures, turn, identicalCalls))
      return turn === 1
        ? `The agent made the same tool call ${identicalCalls} times in a row.`
        : `The agent repeated the same ${turn} tool calls ${identicalCalls} times.`;
  if (staleCalls > 0 && newestFirstSeen(signatures) >= staleCalls)
    return `The last ${staleCalls} answers of the model called only tools that the agent had called before, with the same arguments.`;
  return null;
}

function endsInTurns(signatures: readonly string[], turn: number, times: number): boolean {
  const tail = signatures.slice(-turn * times);
  return tail.length === turn * times && tail.every((one, place) => one === tail[place % turn]);
}

/** How many answers ago the last new tool call was made. */
function newestFirstSeen(signatures: readonly string[]): number {
  const seen = new Set<string>();
  let newest = -1;
  for (const [place, signature] of signatures.entries()) {
    if (!seen.has(signature)) newest = place;
    seen.add(signature);
  }
  return signatures.length - 1 - newest;
}
