import type { Construct } from 'constructs';

const kind = 'outrigger:comment';

/** Says above a block of the rendered HCL why it is there, or what begins with it. Each line is one of the comment. */
export function explain(construct: Construct, comment: string): void {
  construct.node.addMetadata(kind, comment);
}

/** What was said about a construct; undefined where nothing was. */
export function commentOn(construct: Construct): string | undefined {
  const said = construct.node.metadata.find(({ type }) => type === kind)?.data as unknown;
  return typeof said === 'string' ? said : undefined;
}
