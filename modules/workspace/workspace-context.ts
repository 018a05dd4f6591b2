import type { Construct } from 'constructs';
import { interpolation } from '../hcl/expressions.ts';
import { DataCoderWorkspace } from '../providers/generated/coder/data-coder-workspace/index.ts';
import { DataCoderWorkspaceOwner } from '../providers/generated/coder/data-coder-workspace-owner/index.ts';

/** Which workspace is being built, and for whom. */
export class WorkspaceContext {
  readonly workspace: DataCoderWorkspace;
  readonly owner: DataCoderWorkspaceOwner;

  constructor(scope: Construct) {
    this.workspace = new DataCoderWorkspace(scope, 'workspace:me');
    this.owner = new DataCoderWorkspaceOwner(scope, 'owner:me');
  }

  /** 1 while the workspace runs and 0 while it is stopped: the count of everything that must not outlive a stop. */
  get startCount(): number {
    return this.workspace.startCount;
  }

  /** `coder-<workspace id>[-<part>]`: survives renames and is unique on a host, so it names whatever is kept. */
  persistentName(part?: string): string {
    return `coder-\${${this.workspace.fqn}.id}${part === undefined ? '' : `-${part}`}`;
  }

  /**
   * `coder-<owner>-<workspace>[.<part>]`, as in Coder's own templates.
   *
   * The dot cannot occur in a workspace's name, so no other workspace can be called like a part of this one.
   */
  containerName(part?: string): string {
    const base = `coder-\${${this.owner.fqn}.name}-\${lower(${this.workspace.fqn}.name)}`;
    return part === undefined ? base : `${base}.${part}`;
  }

  /** The person's name as git shall write it. */
  get gitName(): string {
    return interpolation(`coalesce(${this.owner.fqn}.full_name, ${this.owner.fqn}.name)`);
  }
}
