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
import { commentOn } from '../hcl/comment.ts';
import { refuseUnsafe } from '../policy/refuse-unsafe.ts';

type Body = Record<string, unknown>;
type Synthesized = Record<string, unknown>;

/**
 * A stack that becomes a Coder template.
 *
 * Names    construct ids are `kind:name`; the name alone is the Terraform label, without a hash, because labels are
 *          what Coder shows (the workspace agent) and where state is kept.
 * Order    `addresses` tells the order in which it was written, which cdktf's JSON loses to the alphabet.
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
    const template = withoutNotes(super.toTerraform() as Synthesized);
    for (const element of this.elements()) addComment(template, element);
    refuseUnsafe(template, paths, this.givenImage === undefined ? {} : { givenImage: this.givenImage });
    return template;
  }

  /** Everything that the template declares, as Terraform addresses it and in the order of the constructs. */
  get addresses(): readonly string[] {
    return this.elements().map(addressOf);
  }

  private elements(): readonly TerraformElement[] {
    return this.node.findAll().filter((one): one is TerraformElement => TerraformElement.isTerraformElement(one));
  }

  /** Construct paths by the address they render as: `docker_container.worker`, `var.opencode_image`. */
  private pathsByAddress(): ReadonlyMap<string, string> {
    const paths = new Map<string, string>();
    for (const element of this.elements()) {
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

/** Where a block of this address stands in Terraform's JSON. */
function bodyAt(template: Synthesized, address: string): Body | undefined {
  const [first = '', ...rest] = address.split('.');
  const section = first === 'data' || first === 'var' ? { data: 'data', var: 'variable' }[first] : 'resource';
  const names = section === 'resource' ? [first, ...rest] : rest;
  return names.reduce<unknown>((body, name) => (body as Body | undefined)?.[name], template[section]) as
    Body | undefined;
}

/** Writes what was said about an element where the printer of HCL finds it. */
function addComment(template: Synthesized, element: TerraformElement): void {
  const comment = commentOn(element);
  if (comment === undefined) return;
  const address = addressOf(element);
  const body = bodyAt(template, address);
  if (body === undefined)
    throw new Error(`${element.node.path} (${address}) is no block, so no comment can stand above it.`);
  body['//'] = comment;
}

/** cdktf's own notes on each block. The one at the root stays: the cdktf command reads it. */
function withoutNotes(template: Synthesized): Synthesized {
  for (const kind of ['resource', 'data']) {
    for (const byName of Object.values((template[kind] ?? {}) as Record<string, Record<string, Body>>)) {
      for (const body of Object.values(byName)) delete body['//'];
    }
  }
  for (const body of Object.values((template.module ?? {}) as Record<string, Body>)) delete body['//'];
  return template;
}
