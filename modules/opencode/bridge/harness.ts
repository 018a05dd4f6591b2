import type { HarnessParts, Lease, Profile } from '../../contract.ts';
import type { Runner } from './runner-client.ts';
import type { Environment } from './runner-protocol.ts';
import type { TaskDirectories } from './task-directories.ts';
import type { WorkTree } from './worktree.ts';

/**
 * One kind of harness: all that the bridge asks of it.
 *
 * OpenCode 1.x is behind it in `opencode-1/`, and only `entry.ts` says so; everything else of the bridge imports this
 * file. What a harness says comes in the types below, which an adapter translates into. Whatever is held behind this
 * passes `test/modules/opencode/bridge/conformance.ts`.
 */
export interface Harness {
  /** For people. */
  readonly name: string;
  /** The version it drives; any other is refused. */
  readonly version: string;
  /** What the installed program says of itself; `unknown` where it says nothing. Starts it for a moment. */
  detect(program: HarnessProgram): Promise<string>;
  /**
   * Starts a harness for one attempt and waits until it answers.
   *
   * Errors   `AgentServerNotReady`: retryable where it did not come up in time, final where it is another version.
   */
  start(start: HarnessStart): Promise<HarnessClient>;
  /** Tools of which every call must be allowed first in this profile. */
  asking(profile: Profile): readonly string[];
  /** What a harness would load in this folder, without starting one for an attempt. Rejects with a sentence. */
  inventory(place: InventoryPlace): Promise<HarnessParts>;
}

/** What an adapter puts before a script that its harness would not ask about; it does nothing. */
export const beforeScripts = ':\n';

export interface HarnessProgram {
  readonly path: string;
  /** PATH of the image. */
  readonly searchPath: string;
  /** A folder it may write to. */
  readonly home: string;
}

export interface HarnessStart {
  readonly runner: Pick<Runner, 'serve' | 'serveEnded'>;
  readonly program: string;
  readonly lease: Lease;
  readonly directories: TaskDirectories;
  readonly workTree: Pick<WorkTree, 'path' | 'folder'>;
  /** Of the attempt's place at the relay; the relay adds the key. */
  readonly modelUrl: string;
  readonly password: string;
  /** What the harness's tools may inherit. */
  readonly inherited: Environment;
  /** PATH of the harness and its tools. */
  readonly path: string;
  /** A file that the harness gives to the model beside the repository's own; null: none. */
  readonly context: string | null;
  /** Further settings for the git of tools. */
  readonly gitSettings: readonly (readonly [string, string])[];
  /** True where nothing else of ours wants the port that people expect. */
  readonly prefersKnownPort: boolean;
  readonly now: Date;
}

export interface InventoryPlace {
  readonly program: string;
  readonly inherited: Environment;
  readonly path: string;
  /** Where its own files may go; the caller removes it. */
  readonly place: string;
  /** The folder it would work in. */
  readonly directory: string;
  /** Folders in which repositories and work trees lie. */
  readonly folders: readonly string[];
  readonly now: Date;
  /** Pids that no sweep of the bridge may end. */
  readonly spared: Set<number>;
}

/** One attempt's harness, which runs. */
export interface HarnessClient {
  readonly port: number;
  /** Null while it does not answer. */
  health(): Promise<{ readonly version: string } | null>;
  createSession(title: string): Promise<string>;
  hasSession(sessionId: string): Promise<boolean>;
  /** Sessions without a parent, newest first. */
  rootSessions(): Promise<readonly string[]>;
  /** Says something once: the same ids again are harmless. */
  prompt(sessionId: string, prompt: { messageId: string; partId: string; text: string }): Promise<void>;
  /** The transcript. */
  messages(sessionId: string): Promise<readonly HarnessMessage[]>;
  /** Ids of the sessions that work or wait for a retry; idle ones are absent. */
  busySessions(): Promise<readonly string[]>;
  /** Ends the turn of a session and the tools it runs; that of the program itself is the runner's. */
  abort(sessionId: string): Promise<void>;
  asks(): Promise<readonly HarnessAsk[]>;
  /** False when the harness does not know the ask (any more). */
  reply(askId: string, reply: 'once' | 'reject', message?: string): Promise<boolean>;
  rejectQuestion(questionId: string): Promise<void>;
  /** What it has loaded. Takes the folders in which repositories and work trees lie. */
  inventory(folders: readonly string[]): Promise<HarnessParts>;
  /** Yields events until the stream ends or goes silent; there is no replay, so look with GET after each start. */
  events(signal: AbortSignal): AsyncGenerator<HarnessEvent>;
}

// ---------------------------------------------------------------- what it says

/** Everything may be missing: it is another program's word. */
export interface HarnessError {
  readonly name?: string;
  readonly data?: { readonly message?: string; readonly statusCode?: number };
}

export interface HarnessMessage {
  readonly info: {
    readonly id: string;
    readonly role: 'user' | 'assistant';
    readonly sessionID: string;
    readonly parentID?: string;
    readonly finish?: string;
    readonly error?: HarnessError;
    readonly time: { readonly created: number; readonly completed?: number };
  };
  readonly parts: readonly HarnessPart[];
}

export interface HarnessPart {
  readonly id: string;
  readonly type: string;
  readonly sessionID?: string;
  readonly messageID?: string;
  readonly text?: string;
  readonly tool?: string;
  readonly callID?: string;
  readonly state?: ToolState;
}

export interface ToolState {
  readonly status: 'pending' | 'running' | 'completed' | 'error';
  readonly input?: Readonly<Record<string, unknown>>;
  readonly title?: string;
  readonly metadata?: { readonly exit?: number | null };
  readonly time?: { readonly start?: number; readonly end?: number };
}

export interface HarnessAsk {
  readonly id: string;
  readonly sessionID: string;
  readonly permission: string;
  readonly patterns?: readonly string[];
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly tool?: { readonly messageID: string; readonly callID: string };
}

export interface HarnessEvent {
  readonly type: string;
  readonly properties: Readonly<Record<string, unknown>>;
}
