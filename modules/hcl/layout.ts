/**
 * Lays HCL out the way `terraform fmt` does, so that rendering needs no terraform.
 *
 * `terraform fmt` aligns the `=` of neighbouring lines. A line takes part when its brackets balance, so a one-line
 * value and a heredoc do, and the first line of a multi-line list or object does not.
 * Source: hclwrite/format.go (linesForFormat, formatCells).
 */

/** A value ready to print: the first line, and what follows already indented for its place. */
export interface Rendered {
  readonly text: string;
  /** False for a list or object over several lines: it breaks the alignment of its neighbours. */
  readonly aligns: boolean;
}

export interface Assignment {
  readonly name: string;
  /** Prints the value for the indentation of the line it begins on. */
  readonly render: (indentation: string) => Rendered;
}

/** What stands in a body, in order: groups of assignments and blocks, an empty line between any two. */
export type BodyPart =
  | { readonly kind: 'assignments'; readonly assignments: readonly Assignment[] }
  | {
      readonly kind: 'block';
      readonly header: string;
      readonly body: readonly BodyPart[];
      /** Stands in lines of its own above the header. */
      readonly comment?: string;
    };

/** Lines of assignments, aligned in runs. */
export function layOutAssignments(assignments: readonly Assignment[], indentation: string): readonly string[] {
  const lines = assignments.map(({ name, render }) => ({ name, value: render(indentation) }));
  const widths = alignedWidths(lines);
  return lines.map(({ name, value }, index) => {
    const padding = ' '.repeat((widths[index] ?? 0) - columns(name));
    return `${indentation}${name}${padding} = ${value.text}`;
  });
}

/** Lines of a whole body. */
export function layOutBody(parts: readonly BodyPart[], indentation: string): readonly string[] {
  const filled = parts.filter((part) => part.kind === 'block' || part.assignments.length > 0);
  return filled.flatMap((part, index) => {
    const before = index === 0 ? [] : [''];
    if (part.kind === 'assignments') return [...before, ...layOutAssignments(part.assignments, indentation)];
    return [
      ...before,
      ...layOutComment(part.comment, indentation),
      ...layOutBlock(part.header, part.body, indentation),
    ];
  });
}

function layOutComment(comment: string | undefined, indentation: string): readonly string[] {
  return comment === undefined ? [] : comment.split('\n').map((line) => `${indentation}# ${line}`.trimEnd());
}

function layOutBlock(header: string, body: readonly BodyPart[], indentation: string): readonly string[] {
  const inner = layOutBody(body, `${indentation}  `);
  if (inner.length === 0) return [`${indentation}${header} {}`];
  return [`${indentation}${header} {`, ...inner, `${indentation}}`];
}

function alignedWidths(lines: readonly { readonly name: string; readonly value: Rendered }[]): readonly number[] {
  const widths: number[] = [];
  let run: number[] = [];
  const closeRun = (): void => {
    const width = Math.max(0, ...run.map((index) => columns(lines[index]?.name ?? '')));
    for (const index of run) widths[index] = width;
    run = [];
  };
  lines.forEach(({ name, value }, index) => {
    if (value.aligns) run.push(index);
    else {
      closeRun();
      widths[index] = columns(name);
    }
  });
  closeRun();
  return widths;
}

const segmenter = new Intl.Segmenter('en', { granularity: 'grapheme' });

function columns(text: string): number {
  return [...segmenter.segment(text)].length;
}
