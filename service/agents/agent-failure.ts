import type { Reason, TouchedObject } from '../../modules/contract.ts';

/** Why an agent could not do its work. The message is shown to the submitter. */
export class AgentFailure extends Error {
  readonly reason: Reason;
  readonly retryable: boolean;
  /** What was done all the same before it failed. */
  readonly objects: readonly TouchedObject[];

  constructor(reason: Reason, message: string, retryable = false, objects: readonly TouchedObject[] = []) {
    super(message);
    this.name = 'AgentFailure';
    this.reason = reason;
    this.retryable = retryable;
    this.objects = objects;
  }

  /** The same failure, with what was done before it. */
  after(objects: readonly TouchedObject[]): AgentFailure {
    return new AgentFailure(this.reason, this.message, this.retryable, objects);
  }
}
