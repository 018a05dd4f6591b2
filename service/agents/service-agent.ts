import type { Evidence, Reason } from '../../modules/contract.ts';

/** A piece of work for an agent that runs in the service itself, with credentials by reference. */
export interface ServiceWork {
  readonly taskId: string;
  readonly organizationId: string;
  readonly action: string;
  /** As the action's schema left them. */
  readonly params: unknown;
}

/** One thing outside that the work was about. */
export type TouchedObject = NonNullable<Evidence['objects']>[number];

export interface ServiceResult {
  /** For people and for later steps; never a secret. */
  readonly output: string;
  readonly objects: readonly TouchedObject[];
}

/**
 * An agent of the service.
 *
 * Safety   work may be executed again after a crash, so each action must be harmless when it is done twice.
 * Errors   `AgentFailure`; anything else is a bug and is tried again.
 */
export interface ServiceAgent {
  readonly name: string;
  /** Ends soon after `signal` aborts. */
  execute(work: ServiceWork, signal: AbortSignal): Promise<ServiceResult>;
}

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
