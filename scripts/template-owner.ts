import { catalogMessage } from '../stacks/catalog-mark.ts';

/** What of a template's active version says whose the template is. */
export interface VersionMark {
  readonly message?: string | null | undefined;
}

/**
 * Why `outrigger template push` leaves a template alone; undefined when it may push.
 *
 * A template belongs to the stack `coder-catalog` as long as its active version is one of that stack's. The other way
 * round Coder refuses: the stack makes its templates, and Coder answers 409 to a name that is taken.
 */
export function refusePush(name: string, activeVersion: VersionMark): string | undefined {
  if (activeVersion.message?.startsWith(catalogMessage) !== true) return undefined;
  return (
    `Template ${name} belongs to the stack coder-catalog, whose next deploy would undo this push. ` +
    `Publish it with './run cdktf deploy coder-catalog'. To push it from now on, leave it out of that stack's ` +
    `'templates', take it out of its state (terraform state rm 'coderd_template.${name}[0]') and push with --take-over.`
  );
}
