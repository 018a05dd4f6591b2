/**
 * The seam: names, paths, ports and wire types that both halves must agree on.
 *
 * Build time (modules/, stacks/) writes them into templates, run time (service/, the bridge) speaks them.
 * This file imports nothing.
 */

// ---------------------------------------------------------------- images

/** The digest at the end of a pinned image, as a pattern that Terraform and JavaScript read alike. */
export const digestPattern = '@sha256:[0-9a-f]{64}';

// ---------------------------------------------------------------- places

/** Paths inside a workspace, the same words on every platform. */
export const paths = {
  workspace: '/workspace',
  home: '/home/coder',
  tools: '/tools',
  run: '/run/outrigger',
  opencode: '/tools/opencode',
  bridge: '/tools/bridge.js',
  /** The worker's own program: IDE, gate, app status. */
  helper: '/tools/helper.js',
  /** The proxy through which a workspace reaches what its list allows. */
  egress: '/tools/egress.js',
  /** Sets up HOME, PATH, certificates and proxies, then becomes the command it is given. */
  enter: '/tools/enter',
  /** OpenCode's sessions and the bridge's own state; a volume that only the sidecar mounts. */
  agent: '/var/lib/outrigger-agent',
  /** Folder of the admin's certificates, `tls.crt`; filled by the init container. */
  customCa: '/etc/ssl/certs/custom-ca',
  /** Nix's store, where the image has Nix: the worker fills it, the sidecar reads it. */
  nix: '/nix',
} as const;

/** Below the workspace: a git work tree for each task, by the name of its branch with `-` for whatever is no plain character. */
export const worktreesDir = '.outrigger/worktrees';

/** The IDEs that can be chosen where the image holds them; the first is the usual one. */
export const ideNames = ['code-server', 'openvscode-server', 'vscode-web'] as const;

/** Ports inside a workspace, all on 127.0.0.1. 3000 and 8080 stay free for the user's own programs. */
export const ports = { opencode: 4096, bridge: 3001, ide: 13337 } as const;

/** Names that people and other programs meet. */
export const names = {
  workspaceAgent: 'main',
  containers: { init: 'opencode-init', worker: 'worker', sidecar: 'opencode', network: 'net', egress: 'egress' },
  apps: { opencode: 'opencode', ide: 'ide', outrigger: 'outrigger' },
  /** Prefix of our own labels and annotations. */
  labelPrefix: 'outrigger/',
  /** Branch on which an attempt's work is committed. */
  branchPrefix: 'agent/',
} as const;

/** Environment of the bridge, set by the template on the sidecar only. */
export const bridgeEnvironment = {
  url: 'OUTRIGGER_URL',
  proof: 'OUTRIGGER_PROOF',
  workspaceId: 'OUTRIGGER_WORKSPACE_ID',
  ownerId: 'OUTRIGGER_OWNER_ID',
  workspaceAgentId: 'OUTRIGGER_WORKSPACE_AGENT_ID',
  /** Secret from which the harness password of an attempt is derived; in worker and sidecar only. */
  harnessKey: 'OUTRIGGER_HARNESS_KEY',
  /** How many attempts may run at once, 1–4. */
  slots: 'OUTRIGGER_SLOTS',
  workspaceDir: 'WORKSPACE_DIR',
  /** Where repositories are cloned: the workspace, or a folder in it. */
  gitRoot: 'GIT_ROOT',
  /** The repository the agent works in; default: the only git repository directly below `gitRoot`. */
  repositoryDir: 'OUTRIGGER_REPOSITORY_DIR',
  /** The same, by the name that the clone goes by. */
  gitWorkspaceDir: 'GIT_WORKSPACE_DIR',
  /** The part of the repository that tasks work in; default: all of it. */
  subpath: 'GIT_REPO_SUBPATH',
  agentDir: 'OUTRIGGER_AGENT_DIR',
  toolsDir: 'TOOLS_DIR',
  /** Where the bridge keeps `status.json`, which says what runs; default `paths.run`. */
  runDir: 'OUTRIGGER_RUN_DIR',
  /** Loopback port of the bridge's relay; 0 picks a free one. */
  port: 'OUTRIGGER_BRIDGE_PORT',
  /** Model calls after which the bridge ends an attempt as a loop; default 1000. */
  callLimit: 'OUTRIGGER_CALL_LIMIT',
  /** `paths.nix` where the image has Nix, else empty. */
  nixDir: 'OUTRIGGER_NIX_DIR',
  /** `true`: no work is taken before the worker has said that its clones ended and its gate stands; default `false`. */
  awaitWorker: 'OUTRIGGER_AWAIT_WORKER',
} as const;

/** Environment of the helper, set by the template on the worker only. */
export const helperEnvironment = {
  /** Kind of the IDE, one of `ideNames`; `none` where the workspace was built without one. Default `code-server`. */
  ide: 'OUTRIGGER_IDE',
  /** Whether the IDE runs while nobody has asked for it or against it: `true` or `false` (default). */
  ideEnabled: 'OUTRIGGER_IDE_ENABLED',
  /** Loopback port of the gate; default `ports.ide`. */
  idePort: 'OUTRIGGER_IDE_PORT',
  /** Path under which browsers see the IDE, where that is not `/`. */
  ideBasePath: 'OUTRIGGER_IDE_BASE_PATH',
  /** Extensions that may be installed: `publisher.name` or `publisher`, comma separated; `*` is all, empty none. */
  allowedExtensions: 'OUTRIGGER_ALLOWED_EXTENSIONS',
  runDir: 'OUTRIGGER_RUN_DIR',
  workspaceDir: 'WORKSPACE_DIR',
  toolsDir: 'TOOLS_DIR',
  nixDir: 'OUTRIGGER_NIX_DIR',
  agentToken: 'CODER_AGENT_TOKEN',
  agentUrl: 'CODER_AGENT_URL',
} as const;

/** What a workspace may reach: the admin's list, everything, or only Outrigger and Coder. */
export const egressModes = ['allowlist', 'local-only', 'open'] as const;
export type EgressMode = (typeof egressModes)[number];

/** Where the proxy of a workspace listens. */
export const egressPort = 3128;

/**
 * One entry of a list: `example.com`, or `*.example.com` for what is below it, either with `:port`; without one 80 and
 * 443. Written so that JavaScript and Terraform read it alike.
 */
export const egressEntryPattern =
  '^([*][.])?[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?([.][a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*(:[1-9][0-9]{0,4})?$';

/** Environment of the proxy, set by the template on the container or pod `egress` only. */
export const egressEnvironment = {
  mode: 'OUTRIGGER_EGRESS',
  /** Entries of the admin's list, comma separated. */
  hosts: 'OUTRIGGER_EGRESS_HOSTS',
  /** Ranges of private networks that a name of the list may lead to, comma separated. */
  privateRanges: 'OUTRIGGER_EGRESS_PRIVATE',
  url: 'OUTRIGGER_URL',
  coderUrl: 'OUTRIGGER_CODER_URL',
  proof: 'OUTRIGGER_EGRESS_PROOF',
  workspaceId: 'OUTRIGGER_WORKSPACE_ID',
  workspaceAgentId: 'OUTRIGGER_WORKSPACE_AGENT_ID',
  /** Where it listens; default every address, `egressPort`. */
  listen: 'OUTRIGGER_EGRESS_LISTEN',
} as const;

/** Body of `POST /api/v2/agents/egress/sync`: what was refused since the last one. */
export interface EgressSyncRequest {
  readonly workspace_id: string;
  readonly agent_id: string;
  readonly blocked: readonly EgressBlocked[];
}

export interface EgressBlocked {
  readonly host: string;
  /** 0 where none was said. */
  readonly port: number;
  readonly reason: string;
  readonly count: number;
}

/** Its answer: the entries that hold beside the admin's, and when to ask again. */
export interface EgressSyncResponse {
  readonly version: number;
  readonly hosts: readonly string[];
  readonly next_seconds: number;
}

/** Below Nix's store: what nix.sh computed of a workspace.nix. It is there, if only empty, as soon as nothing more comes. */
export const nixEnvironmentFile = 'var/outrigger/environment.json';

/** The gate answers only under `/<hex of sha256(idePathSalt + CODER_AGENT_TOKEN)>/`, which `coder_app.url` carries. */
export const idePathSalt = 'ide:';

/** What the address of the app `ide` has behind its folder: it asks for the files of the task that runs, if one does. */
export const followTask = 'follow=task';

/** Version of the frames below. The service speaks this one and the one before it. */
export const protocolVersion = 1;

/** Prefixes of the tokens we mint; each is followed by 43 characters of base64url (32 random bytes). */
export const tokenPrefix = {
  bridge: 'orb_',
  task: 'ort_',
  browser: 'orx_',
  templateSecret: 'ors_',
  webhook: 'orw_',
} as const;

/** Sizes in bytes above which something is refused or moved to an artifact. */
export const limits = {
  jsonBodyBytes: 1024 * 1024,
  promptBytes: 256 * 1024,
  eventBytes: 64 * 1024,
  /** Of all events that a bridge may report for one task, each counted with 256 bytes more. */
  transcriptBytes: 32 * 1024 * 1024,
  messageBytes: 16 * 1024,
  frameBytes: 1024 * 1024,
} as const;

/** Below the workspace: a folder for each task by its id, which tools know as `ARTIFACTS_DIR`. */
export const artifactsDir = 'artifacts';

/** What the service keeps of the files that one task leaves there; sizes in bytes. */
export const artifactBounds = {
  files: 100,
  fileBytes: 16 * 1024 * 1024,
  allBytes: 64 * 1024 * 1024,
  chunkBytes: 384 * 1024,
  /** Folders with `/`, no empty part, no `.` and `..`, and nothing that a file system anywhere could take for more. */
  name: /^(?!(?:.*\/)?\.{0,2}(?:\/|$))[^\p{C}\\:*?"<>|]{1,255}$/u,
} as const;

/** Deadlines. Heartbeats renew the lease of every attempt the bridge holds. */
export const timing = {
  heartbeatMs: 10_000,
  leaseMs: 45_000,
  bridgeTokenMs: 600_000,
  /** How long a question holds its attempt where nobody said otherwise; then it is parked, for `parkedMs` in all. */
  askMs: 600_000,
  parkedMs: 86_400_000,
  stopAbortMs: 5_000,
  stopTermMs: 5_000,
  taskTimeoutMs: 7_200_000,
} as const;

// ---------------------------------------------------------------- agents and tasks

/** The Coder user on whose behalf something happens. */
export interface Actor {
  readonly id: string;
  readonly name: string;
  readonly organizationIds: readonly string[];
}

export const taskStates = [
  'blocked',
  'queued',
  'starting',
  'running',
  'waiting',
  'parked',
  'stopping',
  'finished',
] as const;
export type TaskState = (typeof taskStates)[number];

export const taskOutcomes = ['succeeded', 'no_change', 'failed', 'stopped', 'timed_out', 'canceled'] as const;
export type TaskOutcome = (typeof taskOutcomes)[number];

/** A step that was not needed is `skipped`: nothing failed that it would have made good. */
export type StepOutcome = TaskOutcome | 'skipped';

export const workflowStates = ['queued', 'running', 'waiting', 'finished'] as const;
export type WorkflowState = (typeof workflowStates)[number];
export const workflowOutcomes = ['succeeded', 'failed', 'canceled'] as const;
export type WorkflowOutcome = (typeof workflowOutcomes)[number];

/** Why a task waits, failed or was ended: a closed list. */
export const reasons = [
  'AgentAtCapacity',
  'QuotaExceeded',
  'AgentSuspended',
  'AgentServerNotReady',
  'PermissionRequired',
  'QuestionAsked',
  'UserStopped',
  'Timeout',
  'ContextError',
  'AgentError',
  'BudgetExceeded',
  'LoopDetected',
  'ApprovalBypassed',
  'ApprovalRejected',
  'BridgeLost',
  'WorkspaceStopped',
  'DelegationMissing',
  'VerifyFailed',
  'UpstreamError',
  'Truncated',
  'StopUnproven',
] as const;
export type Reason = (typeof reasons)[number];

/** What the harness may do without asking (design §9). */
export const profiles = ['read-only', 'ask', 'trusted'] as const;
export type Profile = (typeof profiles)[number];

/** Where the bridge runs: in a container of its own, or as a process in the person's (weaker). */
export const agentModes = ['sidecar', 'process'] as const;
export type AgentMode = (typeof agentModes)[number];

/** Checks the work when the harness is done. Comes from the submitter or the admin, never from the repository. */
export interface Verify {
  readonly argv: readonly string[];
  readonly timeout_seconds: number;
}

/** One unit of work for one agent. */
export interface Task {
  readonly id: string;
  readonly agent: string;
  readonly type: string;
  readonly action: string;
  readonly prompt: string;
  /** As the action's schema left them; undefined where the action takes a prompt only. */
  readonly params: unknown;
  readonly ownerId: string;
  readonly organizationId: string;
  readonly workspaceId: string;
  /** What the work builds on, beside what its repository has. */
  readonly baseCommits: readonly string[];
}

/** One thing outside a workspace that a task was about. */
export interface TouchedObject {
  readonly kind: string;
  readonly namespace: string | null;
  readonly name: string;
  readonly result: 'created' | 'changed' | 'unchanged' | 'deleted' | 'read';
}

/** What a task came to that did not fail. */
export interface TaskResult {
  /** For people and for later steps; never a secret. */
  readonly output: string;
  readonly objects: readonly TouchedObject[];
}

export interface AgentContext {
  /** Aborts when the work is to end; with `handedOver` as reason where another process goes on with it. */
  readonly signal: AbortSignal;
}

/** The reason of an abort after which the work itself must go on: only this process lets go of it. */
export const handedOver = 'another process takes the work over';

/**
 * Whoever does tasks: what it is called, which tasks it takes, and how it does one.
 *
 * Safety   a task may be executed again after a crash, so each action must be harmless when it is done twice.
 * Errors   `execute` rejects with the service's `AgentFailure`; anything else is a bug and is tried again.
 */
export interface Agent {
  name(): string;
  supports(task: Pick<Task, 'type' | 'action'>): boolean;
  /** Ends soon after the context's signal aborts. */
  execute(task: Task, context: AgentContext): Promise<TaskResult>;
}

// ---------------------------------------------------------------- evidence

/** Counters of one turn or one task. Tokens are counts, money is integer micro-USD. */
export interface Usage {
  readonly input_tokens: number;
  readonly cached_tokens: number;
  readonly output_tokens: number;
  readonly reasoning_tokens: number;
  readonly calls: number;
  readonly cost_micro_usd: number;
}

/** One finished tool call of the harness. `exit` is null where the tool has no exit code or was aborted. */
export interface ToolExit {
  readonly tool: string;
  readonly call_id: string;
  readonly status: 'completed' | 'error' | 'interrupted';
  readonly exit: number | null;
  readonly title: string;
}

/** What the bridge saw of an attempt; the service judges the outcome from nothing else. */
export interface Evidence {
  readonly session_id: string | null;
  readonly last_message: {
    /** The harness's own word: `stop`, `length`, `tool-calls`, …; null when it gave none. */
    readonly finish: string | null;
    readonly error: { readonly name: string; readonly message: string; readonly status_code?: number } | null;
    readonly text: string;
  } | null;
  readonly tool_exits: readonly ToolExit[];
  /** Asks that a person or policy rejected, or that expired. */
  readonly rejected_asks: number;
  readonly diff: { readonly files: number; readonly additions: number; readonly deletions: number };
  readonly changed_files: readonly string[];
  readonly branch: string | null;
  readonly commit: string | null;
  readonly verify: { readonly exit: number | null; readonly timed_out: boolean; readonly output: string } | null;
  /** How the command of the lease ended; missing where it had none. `exit` is null when a signal ended it. */
  readonly command?: { readonly exit: number | null; readonly timed_out: boolean };
  /** True when somebody refused to let the verify command run. */
  readonly verify_rejected: boolean;
  /** Set when the bridge itself could not do its part. `retryable` is its advice. */
  readonly failure: { readonly reason: Reason; readonly message: string; readonly retryable: boolean } | null;
  readonly stop: StopReceipt | null;
  /** What an agent of the service touched outside; missing where a bridge did the work. */
  readonly objects?: readonly TouchedObject[];
}

/** Proof that nothing of an attempt is left. */
export interface StopReceipt {
  readonly stopped_at: string;
  readonly method: 'abort' | 'term' | 'kill' | 'already_gone';
  /** Processes of the attempt still alive after the last step; 0 is the proof. */
  readonly processes_left: number;
  readonly tokens_after_stop: number;
}

// ---------------------------------------------------------------- events

/** Types of task events, closed. Those under `harness` come from the bridge. */
export const taskEventTypes = [
  'task.queued',
  'task.blocked',
  'task.starting',
  'task.leased',
  'task.running',
  'task.waiting',
  'task.parked',
  'task.retrying',
  'task.stopping',
  'task.budget_warning',
  'task.finished',
  'approval.requested',
  'approval.decided',
  'approval.expired',
  'approval.withdrawn',
  'session.opened',
  'session.resumed',
  'prompt.sent',
  'message.queued',
  'message.sent',
  'message.text',
  'tool.started',
  'tool.finished',
  'file.edited',
  'model.retry',
  'verify.started',
  'verify.finished',
  'commit.created',
  'checkpoint.created',
  'checkpoint.restored',
  'artifact.stored',
  'bridge.notice',
  /** Hosts that a workspace's proxy refused, for the first time: `{hosts: [{host, port, reason}]}`. */
  'egress.blocked',
] as const;
export type TaskEventType = (typeof taskEventTypes)[number];

export interface TaskEvent {
  readonly seq: number;
  readonly at: string;
  readonly type: TaskEventType;
  readonly task_id: string;
  readonly attempt: number;
  readonly data: Readonly<Record<string, unknown>>;
}

/** Types of workflow events, closed. */
export const workflowEventTypes = [
  'workflow.submitted',
  'workflow.cancel_requested',
  'workflow.retried',
  'workflow.finished',
  'step.queued',
  'step.started',
  'step.waiting',
  'step.resumed',
  'step.finished',
  'step.canceled',
  'step.skipped',
] as const;
export type WorkflowEventType = (typeof workflowEventTypes)[number];

/** Progress of a workflow; `step_id` is null where the whole of it is meant. */
export interface WorkflowEvent {
  readonly seq: number;
  readonly at: string;
  readonly type: WorkflowEventType;
  readonly workflow_id: string;
  readonly run: number;
  readonly step_id: string | null;
  readonly data: Readonly<Record<string, unknown>>;
}

/** Types a bridge may report; the rest is the service's own word. */
export const bridgeEventTypes = [
  'session.opened',
  'session.resumed',
  'prompt.sent',
  'approval.withdrawn',
  'message.sent',
  'message.text',
  'tool.started',
  'tool.finished',
  'file.edited',
  'model.retry',
  'verify.started',
  'verify.finished',
  'commit.created',
  'checkpoint.created',
  'bridge.notice',
] as const satisfies readonly TaskEventType[];
export type BridgeEventType = (typeof bridgeEventTypes)[number];

// ---------------------------------------------------------------- what worker and sidecar tell each other

/** Files in `paths.run`. Both containers can write there, so each is hostile input to its reader. */
export const runFiles = {
  status: 'status.json',
  ide: 'ide.json',
  ideState: 'ide-state.json',
  /** Empty; there as soon as every clone of the workspace's start has ended, well or not. */
  cloned: 'cloned',
} as const;

/** The person's repository, as the bridge sees it. */
export interface GitFacts {
  /** Null where HEAD is on no branch. */
  readonly branch: string | null;
  /** Commits that only this side has, and only the upstream; 0 where there is none. */
  readonly ahead: number;
  readonly behind: number;
  readonly dirty: boolean;
}

/** `running` is the only state in which a session can be joined. */
export const statusStates = ['idle', 'starting', 'running', 'finishing'] as const;
export type StatusState = (typeof statusStates)[number];

/** `status.json`, bridge → worker: ids, numbers and fixed words, because everybody in the workspace can read it. */
export interface Status {
  readonly state: StatusState;
  readonly task_id: string | null;
  readonly attempt: number | null;
  /** Port of the harness on 127.0.0.1. */
  readonly port: number | null;
  readonly session_id: string | null;
  /** Below `worktreesDir`: where the files of this attempt are, once they are there. */
  readonly worktree?: string;
  /** What the agent does right now, for people: one of a few sentences. */
  readonly doing: string;
  /** Missing until it is known, and where there is no repository. */
  readonly git?: GitFacts;
}

/** `ide.json`, bridge → worker. `generation` grows with each wish. */
export interface IdeWish {
  readonly enabled: boolean;
  readonly generation: number;
}

export const ideStatePhases = ['Stopped', 'Starting', 'Ready', 'Failed'] as const;
export type IdeStatePhase = (typeof ideStatePhases)[number];

/** `ide-state.json`, worker → bridge: where the wish of this `generation` stands; 0 when nobody has wished yet. */
export interface IdeState {
  readonly phase: IdeStatePhase;
  readonly message: string;
  readonly generation: number;
}

/** Both files as the bridge read them. */
export interface IdeReport {
  /** The wish in force; null where none was written, so that the template's choice holds. */
  readonly enabled: boolean | null;
  /** Null while the worker has not said anything about this wish. */
  readonly phase: IdeStatePhase | null;
  readonly message: string;
}

// ---------------------------------------------------------------- registration

/** Body of `POST /api/v2/agents/opencode/register`; the proof travels as `Authorization: Bearer <proof>`. */
export interface RegisterRequest {
  readonly workspace_id: string;
  /** Id of Coder's workspace agent `main` of the current build. */
  readonly agent_id: string;
  /** Version of the harness. */
  readonly version: string;
  readonly protocol_version: number;
  readonly capabilities: readonly string[];
  /** Accepted and ignored: the service never dials a workspace. */
  readonly endpoint?: string;
}

export interface RegisterResponse {
  readonly bridge_token: string;
  readonly expires_at: string;
  readonly heartbeat_interval_seconds: number;
  readonly lease_seconds: number;
  readonly protocol_version: number;
}

/** Close codes of the bridge's WebSocket. */
export const closeCodes = { superseded: 4409, unauthenticated: 4401, upgrade: 4426, draining: 1012 } as const;

// ---------------------------------------------------------------- frames

/** Request, in both directions. */
export interface RequestFrame<Type extends string = string, Payload = unknown> {
  readonly id: string;
  readonly type: Type;
  readonly payload: Payload;
}

/** Answer to the request with the same `id`; a failed request always carries it. */
export type ReplyFrame<Data = unknown> =
  | { readonly id: string; readonly success: true; readonly data?: Data }
  | { readonly id: string; readonly success: false; readonly error: string };

/** Names one attempt; `attempt` is 1-based and is the fence: an older number is refused. */
export interface AttemptRef {
  readonly task_id: string;
  readonly attempt: number;
}

/** What a person told a task after it was submitted. The harness's ids follow from `id`, so that resending is harmless. */
export interface TaskMessage {
  readonly id: string;
  readonly text: string;
}

/** Programs that a bridge runs for an agent that asks no model. */
export const leasePrograms = ['nix'] as const;

/** A program that an attempt runs instead of a conversation: without a shell, on a checkout of its own. */
export interface LeaseCommand {
  readonly program: (typeof leasePrograms)[number];
  readonly arguments: readonly string[];
}

/** A bridge that registers with it runs `command` of a lease; any other would hand the prompt to its model. */
export const commandCapability = 'command';

/** What a bridge needs to run one attempt. */
export interface Lease extends AttemptRef {
  readonly title: string;
  readonly prompt: string;
  /** Harness session to resume; null opens one. */
  readonly session_id: string | null;
  /** Fragment ids of the prompt; the same for every attempt of a task, so that resending is harmless. */
  readonly message_id: string;
  readonly part_id: string;
  readonly profile: Profile;
  readonly model: string;
  readonly verify: Verify | null;
  /** Only for bridges with `commandCapability`. Default: none, so that the model gets the prompt. */
  readonly command?: LeaseCommand;
  readonly timeout_ms: number;
  /** Messages that no attempt has passed on for sure, oldest first; said to the session unless it has them. Default: none. */
  readonly messages?: readonly TaskMessage[];
  /** Answers to questions of an earlier attempt that was parked; the session is told of them. Default: none. */
  readonly answers?: readonly LateAnswer[];
  /** `ort_…`, valid for this attempt only. */
  readonly task_token: string;
  readonly branch: string;
  /** Commits the branch starts from, merged in order; empty means the repository's HEAD. */
  readonly base_commits: readonly string[];
  /** Author and committer of the commit. */
  readonly identity: { readonly name: string; readonly email: string };
  readonly environment: { readonly TASK_ID: string; readonly TASK_NAME: string; readonly TASK_NAMESPACE: string };
}

/** Bridge → service. */
export interface BridgeRequests {
  /** Asks for work for `slots` free places; answered when something is admitted, or with null after a while. */
  lease: {
    payload: { readonly slots: number; readonly holding: readonly AttemptRef[] };
    data: { readonly lease: Lease | null };
  };
  /** One event of an attempt. `source_seq` counts from 1 per attempt without gaps; the answer acknowledges all up to `acked`. */
  event: {
    payload: AttemptRef & {
      readonly source_seq: number;
      readonly type: BridgeEventType;
      readonly at: string;
      readonly data: Readonly<Record<string, unknown>>;
    };
    data: { readonly acked: number };
  };
  /** A question of a running task. Sending the same `ask_id` again is harmless. */
  ask: {
    payload: AttemptRef & Ask;
    data: { readonly approval_id: string };
  };
  /**
   * A piece of a file that the attempt left, in base64; the first one may be empty. Sent before the result, from
   * `received` on: what comes out of order is not taken, and what is there already is `complete` at once.
   */
  artifact: {
    payload: AttemptRef & {
      readonly name: string;
      readonly bytes: number;
      /** In hex, of the whole file. */
      readonly sha256: string;
      readonly offset: number;
      readonly data: string;
    };
    data: { readonly received: number; readonly complete: boolean };
  };
  /** The end of an attempt. Sending it again is harmless. */
  result: {
    payload: AttemptRef & { readonly evidence: Evidence };
    data: { readonly accepted: boolean };
  };
  heartbeat: {
    /** `ide` is missing where the bridge knows nothing of an IDE; also sent at once when it changes. */
    payload: { readonly holding: readonly AttemptRef[]; readonly status: string; readonly ide?: IdeReport };
    /** `token` is present when a renewed bridge token replaces the old one; `fenced` attempts must be stopped at once. */
    data: {
      readonly fenced: readonly AttemptRef[];
      readonly token?: { readonly bridge_token: string; readonly expires_at: string };
    };
  };
}

export interface Ask {
  /** Stable id of the question: the harness's own id, or one derived for the verify command. */
  readonly ask_id: string;
  readonly kind: 'permission' | 'question' | 'verify';
  readonly title: string;
  /** What exactly would be done: the command, the path, the patterns, the diff. Shown to the person, hashed for the audit. */
  readonly detail: Readonly<Record<string, unknown>>;
}

export const decisions = ['once', 'reject'] as const;
export type Decision = (typeof decisions)[number];

/** What a person can say. `always` is remembered by the service for this call of this task; a bridge never hears it. */
export const answers = ['once', 'always', 'reject'] as const;
export type Answer = (typeof answers)[number];

/** What a person said to a question after the attempt that asked it had been parked. */
export interface LateAnswer {
  readonly title: string;
  readonly decision: Decision;
  readonly message: string | null;
}

/**
 * Which state of the repository is read: these commits, merged where none of them holds the others; its HEAD where
 * there are none. What is not committed is never read.
 */
export interface CommittedState {
  /** Full hashes, at most ten. */
  readonly commits: readonly string[];
}

/** What the harness of a workspace loads: names and kinds only, because values of its configuration may be secret. */
export interface HarnessParts {
  /** `package`: from a registry; `file`: of the image or ours. */
  readonly plugins: readonly { readonly name: string; readonly kind: 'file' | 'package' }[];
  /** `repository`: a text in the repository that the model may be shown. */
  readonly skills: readonly { readonly name: string; readonly kind: 'built_in' | 'installed' | 'repository' }[];
  readonly mcp_servers: readonly {
    readonly name: string;
    readonly kind: 'local' | 'remote';
    readonly enabled: boolean;
  }[];
  readonly lsp_servers: readonly { readonly name: string; readonly enabled: boolean }[];
}

/** Bounds of `HarnessParts`: entries of each list, and what a name may look like. */
export const harnessPartsBounds = { entries: 200, name: /^[\p{L}\p{N}@_.][\p{L}\p{N}@_.^~+/ -]{0,99}$/u } as const;

/** Service → bridge. */
export interface ServiceRequests {
  stop: {
    payload: AttemptRef & { readonly reason: Reason };
    data: { readonly receipt: StopReceipt };
  };
  decision: {
    payload: AttemptRef & { readonly ask_id: string; readonly decision: Decision; readonly message?: string };
    data: { readonly applied: boolean };
  };
  /** Says something to the session of a running attempt. `applied` is false where it says nothing any more. */
  message: {
    payload: AttemptRef & { readonly message: TaskMessage };
    data: { readonly applied: boolean };
  };
  /** Tells the worker whether the IDE should run. The same again is harmless, and tries a failed one once more. */
  ide: { payload: { readonly enabled: boolean }; data: { readonly ide: IdeReport } };
  /** Says that an attempt may be waiting, so that a `lease` request is asked again at once. */
  wake: { payload: Record<string, never>; data: Record<string, never> };
  /** The checkpoints of a task that its repository holds, the oldest first, at most 1000. */
  checkpoints: {
    payload: { readonly task_id: string };
    data: {
      readonly checkpoints: readonly {
        readonly number: number;
        readonly commit: string;
        /** What was committed then. */
        readonly parent: string;
        readonly at: string;
      }[];
    };
  };
  /** Makes the work tree of a task that of a checkpoint; not `applied` over work that is not committed unless `force` is said. */
  restoreCheckpoint: {
    payload: {
      readonly task_id: string;
      readonly branch: string;
      readonly number: number;
      readonly force: boolean;
      readonly identity: Lease['identity'];
    };
    data: {
      readonly applied: boolean;
      readonly commit: string;
      /** What lay there before. */
      readonly saved: { readonly number: number; readonly commit: string } | null;
    };
  };
  /** What only this workspace has: it would be lost with it. Repositories without any are left out. */
  unpushedWork: {
    payload: Record<string, never>;
    data: {
      readonly repositories: readonly {
        readonly path: string;
        /** Files that are not committed, in any work tree of it. */
        readonly files: number;
        /** Commits of branches that no remote has; branches are at most 20. */
        readonly commits: number;
        readonly branches: readonly string[];
        readonly stashes: number;
        /** Checkpoints whose state no remote has. */
        readonly checkpoints: number;
      }[];
    };
  };
  /** What the harness loads here; nothing of the repository is started to find out. */
  plugins: { payload: Record<string, never>; data: HarnessParts };
  /** The committed files that lie directly in a folder of the repository, at most 1000; links and folders are none of them. */
  listCommitted: {
    payload: CommittedState & { readonly folder: string };
    data: { readonly files: readonly { readonly path: string; readonly bytes: number }[] };
  };
  /** The text of one committed file of the repository, at most 512 KiB. */
  readCommitted: { payload: CommittedState & { readonly path: string }; data: { readonly text: string } };
  /** Lines of the repository's committed files that hold a text, at most 200, each cut to 500 characters. */
  searchCommitted: {
    payload: CommittedState & { readonly text: string };
    data: { readonly matches: readonly { readonly path: string; readonly line: number; readonly text: string }[] };
  };
  /** One file as it lies on the disk. */
  readFile: { payload: ToolGrant & { readonly path: string }; data: string | EncodedContent };
  /** Replaces a file whole, or makes it with the folders above it. */
  writeFile: {
    payload: ToolGrant & { readonly path: string; readonly content: string; readonly encoding?: 'base64' };
    data: undefined;
  };
  /** What lies directly in a folder, by name; without `path` the workspace itself. */
  listFiles: {
    payload: ToolGrant & { readonly path?: string };
    data: readonly { readonly name: string; readonly isDirectory: boolean }[];
  };
  /** Runs one program without a shell: `command` is split into words as a shell would, and nothing else of it is. */
  runCommand: { payload: ToolGrant & RunCommand; data: CommandOutput };
  /** `path:line` of whatever matches the regular expression; empty where nothing does. */
  searchCode: { payload: ToolGrant & { readonly query: string; readonly path?: string }; data: string };
  /** Commits everything that changed in a repository: `path`, or the one that the agent works in. */
  gitCommit: {
    payload: ToolGrant & {
      readonly message: string;
      readonly path?: string;
      /** Author and committer. */
      readonly identity: { readonly name: string; readonly email: string };
      /** Lines such as `Agent-Command: 1f0c…` at the end of the message. */
      readonly trailers?: readonly string[];
    };
    data: { readonly commit: string; readonly branch: string; readonly files: number };
  };
  /** Pushes what is committed to `branch`, or to the branch that is checked out, over the broker. */
  gitPush: {
    payload: ToolGrant & { readonly path?: string; readonly branch?: string };
    data: { readonly repository: string; readonly branch: string; readonly commit: string };
  };
}

/** What a bridge tool may do: read only in `read-only`, in `ask` what a person approved, in `trusted` anything. */
export interface ToolGrant {
  /** Default: what the service sends was judged there. */
  readonly profile?: Profile;
  /** Somebody who may use the workspace approved exactly this call. */
  readonly approved?: boolean;
}

/** The content of a file that is no UTF-8 text. */
export interface EncodedContent {
  readonly content: string;
  readonly encoding: 'base64';
}

export interface RunCommand {
  readonly command: string;
  /** Default: `toolLimits.commandSeconds`. */
  readonly timeoutSeconds?: number;
}

export interface CommandOutput {
  readonly stdout: string;
  readonly stderr: string;
  /** 124 where the time was up; null where a signal ended it. */
  readonly exitCode: number | null;
  /** Whether there was more output than is shown. */
  readonly truncated: boolean;
}

/** The tools of a bridge: what a service, a chat or a program of the workspace may ask of a workspace's files and programs. */
export const toolTypes = [
  'readFile',
  'writeFile',
  'listFiles',
  'runCommand',
  'searchCode',
  'gitCommit',
  'gitPush',
] as const satisfies readonly ServiceRequestType[];
export type ToolType = (typeof toolTypes)[number];

/** Tools that change nothing: all that the profile `read-only` allows. */
export const readingTools: readonly ToolType[] = ['readFile', 'listFiles', 'searchCode'];

/** Bounds of the tools; sizes in bytes. */
export const toolLimits = {
  fileBytes: 512 * 1024,
  /** Of stdout and of stderr. */
  outputBytes: 128 * 1024,
  listEntries: 5_000,
  commandCharacters: 32 * 1024,
  commandSeconds: 30,
  mostCommandSeconds: 300,
  /** Programs that run at once for one bridge. */
  commandsAtOnce: 4,
  /** A token bucket: so many calls at once, and so many more each second. */
  burst: 60,
  perSecond: 10,
} as const;

/** The literal answer to a path that leads out of the workspace. */
export const pathTraversal = 'Path traversal detected';

/** The literal answer to a tool or program that the profile does not allow. */
export const commandNotAllowed = (name: string): string => `Command not allowed: ${name}`;

export type BridgeRequestType = keyof BridgeRequests;
export type ServiceRequestType = keyof ServiceRequests;

/** The literal answer to a request nobody knows. */
export const unknownCommand = (type: string): string => `Unknown command type: ${type}`;
