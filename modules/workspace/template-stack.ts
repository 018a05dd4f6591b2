import {
  TerraformDataSource,
  TerraformElement,
  TerraformLocal,
  TerraformOutput,
  TerraformResource,
  TerraformStack,
  TerraformVariable,
  type TerraformBackend,
} from 'cdktf';
import type { Construct, Node } from 'constructs';
import { refuseUnsafe } from '../policy/refuse-unsafe.ts';

type Body = Record<string, unknown>;
type Synthesized = Record<string, unknown>;

/**
 * A stack that becomes a Coder template.
 *
 * Names    construct ids are `kind:name`; the name alone is the Terraform label, without a hash, because labels are
 *          what Coder shows (the workspace agent) and where state is kept.
 * State    no backend: Coder owns it.
 * Safety   whatever `modules/policy` refuses cannot be synthesized.
 * Errors   two constructs with one address, which Terraform's JSON would merge silently.
 */
export abstract class TemplateStack extends TerraformStack {
  /** The one image that a default may name, and name without a digest: whoever asked for this copy gave it. */
  protected readonly givenImage: string | undefined;

  constructor(scope: Construct, id: string, givenImage?: string) {
    super(scope, id);
    this.givenImage = givenImage;
  }

  override ensureBackendExists(): TerraformBackend {
    return undefined as unknown as TerraformBackend;
  }

  protected override allocateLogicalId(element: TerraformElement | Node): string {
    const node = TerraformElement.isTerraformElement(element) ? element.node : element;
    const path = node.scopes.slice(node.scopes.indexOf(this) + 1);
    return path.map((construct) => construct.node.id.split(':').at(-1)).join('-');
  }

  override toTerraform(): Synthesized {
    const paths = this.pathsByAddress();
    const template = withoutComments(super.toTerraform() as Synthesized);
    refuseUnsafe(template, paths, this.givenImage === undefined ? {} : { givenImage: this.givenImage });
    return template;
  }

  /** Construct paths by the address they render as: `docker_container.worker`, `var.opencode_image`. */
  private pathsByAddress(): ReadonlyMap<string, string> {
    const paths = new Map<string, string>();
    for (const element of this.node.findAll()) {
      if (!TerraformElement.isTerraformElement(element)) continue;
      const address = addressOf(element);
      const first = paths.get(address);
      if (first !== undefined) {
        throw new Error(`${element.node.path} and ${first} both render as ${address}. Give one of them another id.`);
      }
      paths.set(address, element.node.path);
    }
    return paths;
  }
}

function addressOf(element: TerraformElement): string {
  if (TerraformDataSource.isTerraformDataSource(element)) {
    return `data.${element.terraformResourceType}.${element.friendlyUniqueId}`;
  }
  if (TerraformResource.isTerraformResource(element)) {
    return `${element.terraformResourceType}.${element.friendlyUniqueId}`;
  }
  if (element instanceof TerraformVariable) return `var.${element.friendlyUniqueId}`;
  if (element instanceof TerraformLocal) return `local.${element.friendlyUniqueId}`;
  if (element instanceof TerraformOutput) return `output.${element.friendlyUniqueId}`;
  return `${element.constructor.name}.${element.friendlyUniqueId}`;
}

/** cdktf's own notes on each block. The one at the root stays: the cdktf command reads it. */
function withoutComments(template: Synthesized): Synthesized {
  for (const kind of ['resource', 'data']) {
    for (const byName of Object.values((template[kind] ?? {}) as Record<string, Record<string, Body>>)) {
      for (const body of Object.values(byName)) delete body['//'];
    }
  }
  for (const body of Object.values((template.module ?? {}) as Record<string, Body>)) delete body['//'];
  return template;
}
