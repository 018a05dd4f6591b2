export type Body = Record<string, unknown>;

/** One rule with templates that it allows and templates that it refuses. */
export interface PolicyCase {
  readonly rule: string;
  readonly allows: readonly Body[];
  readonly refuses: readonly Body[];
}

export const id = '${data.coder_workspace.me.id}';
export const count = '${data.coder_workspace.me.start_count}';
export const pinned = `registry.example.com/base@sha256:${'a'.repeat(64)}`;
export const resource = (type: string, name: string, body: Body): Body => ({ resource: { [type]: { [name]: body } } });
export const variable = (name: string, body: Body): Body => ({ variable: { [name]: body } });
