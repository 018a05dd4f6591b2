/** The part of OpenCode 1.18's API that the bridge reads. Everything may be missing: it is another program's word. */
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
