import type { CoderClient, Form, TemplateVersion } from 'coder-sdk-ts';
import { CoderError } from 'coder-sdk-ts';
import { CommandFailure } from './command-failure.ts';

/** One way to fill the form in. */
interface Filling {
  readonly title: string;
  readonly inputs: Readonly<Record<string, string>>;
}

/**
 * Evaluates the parameter form of an imported version as a person would meet it: with its defaults, and with each preset.
 *
 * Errors   `CommandFailure` 1 naming every error of every filling. Coder itself says them only when a person builds.
 * Trap     a preset's value for a parameter that the form does not show is ignored by Coder; it is told, not refused.
 */
export async function checkForm(
  coder: CoderClient,
  version: TemplateVersion,
  tell: (line: string) => void,
): Promise<void> {
  const { id: owner } = await coder.me();
  const presets = await coder.templateVersionPresets(version.id);
  const fillings: readonly Filling[] = [
    { title: 'its defaults', inputs: {} },
    ...presets.map(({ Name, Parameters }) => ({
      title: `preset ${Name}`,
      inputs: Object.fromEntries((Parameters ?? []).map((one) => [one.Name, one.Value])),
    })),
  ];
  const faults: string[] = [];
  for (const filling of fillings) {
    const form = await evaluate(coder, version, owner, filling);
    if (form === null) return tell('This Coder cannot evaluate a form by itself, so it was not checked.');
    faults.push(...errorsOf(form).map((fault) => `  with ${filling.title}: ${fault}`));
    for (const name of hiddenIn(form, filling))
      tell(`Warning: ${filling.title} sets ${name}, and the form has no such parameter then.`);
  }
  if (faults.length > 0)
    throw new CommandFailure(
      1,
      `The form of version ${version.name} has errors, so nobody could build with it:\n${faults.join('\n')}`,
    );
  tell(`The form is right with ${fillings.map(({ title }) => title).join(', ')}.`);
}

/** Null where Coder has no such route: before 2.34. */
async function evaluate(
  coder: CoderClient,
  version: TemplateVersion,
  owner: string,
  { inputs }: Filling,
): Promise<Form | null> {
  try {
    return await coder.evaluateForm(version.id, owner, inputs);
  } catch (error) {
    if (error instanceof CoderError && error.status === 404 && error.message.includes('Route not found')) return null;
    throw error;
  }
}

type Diagnostics = Form['diagnostics'];

function errorsOf({ diagnostics, parameters }: Form): readonly string[] {
  const errors = (list: Diagnostics, place: string): readonly string[] =>
    (list ?? [])
      .filter(({ severity }) => severity === 'error')
      .map(({ summary, detail }) => `${place}${summary}${detail ? `: ${detail}` : ''}`);
  return [
    ...errors(diagnostics, ''),
    ...(parameters ?? []).flatMap((one) => errors(one.diagnostics, `parameter ${one.name}: `)),
  ];
}

const hiddenIn = ({ parameters }: Form, { inputs }: Filling): readonly string[] =>
  Object.keys(inputs).filter((name) => !(parameters ?? []).some((one) => one.name === name));
