import { TerraformElement, TerraformStack, type TerraformBackend } from 'cdktf';
import type { Construct, Node } from 'constructs';
import type { StateBackend } from './state-backend.ts';

/**
 * A stack that `cdktf deploy` applies.
 *
 * Names    construct ids are `kind:name`; the name alone is the Terraform label, without a hash, so that no state moves
 *          when code does.
 * State    where `backend` says: cdktf's own default is an absolute path of the machine that synthesized.
 */
export abstract class DeployableStack extends TerraformStack {
  constructor(scope: Construct, id: string, backend: StateBackend) {
    super(scope, id);
    // Write-only arguments keep secrets out of the state; they came with 1.11.
    this.addOverride('terraform.required_version', '>= 1.11');
    this.addOverride(`terraform.backend.${backend.type}`, backend.options);
  }

  protected requireProvider(name: string, source: string, version: string): void {
    this.addOverride(`terraform.required_providers.${name}`, { source, version });
  }

  override ensureBackendExists(): TerraformBackend {
    return undefined as unknown as TerraformBackend;
  }

  protected override allocateLogicalId(element: TerraformElement | Node): string {
    const node = TerraformElement.isTerraformElement(element) ? element.node : element;
    const path = node.scopes.slice(node.scopes.indexOf(this) + 1);
    return path.map((construct) => construct.node.id.split(':').at(-1)).join('-');
  }
}
