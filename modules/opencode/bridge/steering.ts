import type { TaskMessage } from '../../contract.ts';
import { promptOf, type PromptToSend } from './session.ts';

/** Whoever holds the conversation: says a prompt to the session; false where its turn is over. */
export type Say = (prompt: PromptToSend) => Promise<boolean>;

/** What a person says to an attempt while it runs. */
export interface Steering {
  /** Passes a message on, as soon as there is a conversation; false where there is none any more. The same one is said once. */
  tell(message: TaskMessage): Promise<boolean>;
  /** The conversation has begun. */
  begin(say: Say): void;
  /** There is none any more. */
  end(): void;
}

/** `leased` came with the lease, and are said with its prompt. */
export function makeSteering(leased: readonly TaskMessage[]): Steering {
  const told = new Map(leased.map(({ id }) => [id, Promise.resolve(true)]));
  let begun: (say: Say | null) => void = () => undefined;
  const conversation = new Promise<Say | null>((resolve) => (begun = resolve));
  let isOver = false;

  async function pass(message: TaskMessage): Promise<boolean> {
    const say = await conversation;
    return say === null || isOver ? false : say(promptOf(message));
  }

  return {
    tell(message) {
      const open = told.get(message.id) ?? pass(message);
      told.set(message.id, open);
      open.catch(() => told.delete(message.id));
      return open;
    },
    begin: (say) => begun(say),
    end() {
      isOver = true;
      begun(null);
    },
  };
}
