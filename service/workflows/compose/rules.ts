import type { Constraints, Proposal } from './composition.ts';
import type { Offer } from './offer.ts';

interface Rule {
  readonly task: string;
  readonly when: RegExp;
  readonly prompt: string;
}

/** What makes something, by the words of a goal; where none fits, code is generated. */
const makers: readonly Rule[] = [
  {
    task: 'fix_tests',
    when: /\b(fix|mend|repair)\w*\b[^]*\btests?\b|\bfailing tests?\b/i,
    prompt: 'Mend what makes the tests fail.',
  },
  {
    task: 'generate_api',
    when: /\b(api|endpoint|route|backend|server)s?\b/i,
    prompt: 'Do what the goal asks of the API.',
  },
  {
    task: 'generate_ui',
    when: /\b(ui|frontend|page|screen|form|button|view)s?\b/i,
    prompt: 'Do what the goal asks of the user interface.',
  },
];
const maker: Rule = { task: 'generate_code', when: /^/, prompt: 'Write the code that the goal asks for.' };
/** What follows, where it is offered and there is room. */
const followers: readonly Rule[] = [
  { task: 'write_tests', when: /^/, prompt: 'Write tests for what was made.' },
  { task: 'review_code', when: /^/, prompt: 'Review what was made, and name its faults, the worst first.' },
];

/**
 * A plain proposal without a model: makers by the words of the goal, one after the other, then tests, then a review.
 * Each is told the goal and what the step before it answered.
 */
export function proposeByRules(
  goal: string,
  offer: Offer,
  { max_steps: most }: Pick<Constraints, 'max_steps'>,
): Proposal {
  const agentOf = (task: string): string | undefined => offer.find((one) => one.task === task)?.agent;
  const isOffered = ({ task }: Rule): boolean => agentOf(task) !== undefined;
  const fitting = makers.filter((rule) => isOffered(rule) && rule.when.test(goal));
  const first = fitting.length > 0 ? fitting : [maker].filter(isOffered);
  const only = offer.find(({ takesPrompt }) => takesPrompt);
  const chosen = [...first, ...followers.filter(isOffered)];
  const rules = chosen.length > 0 || !only ? chosen : [{ ...maker, task: only.task }];
  return {
    name: goal.trim().split('\n')[0]?.slice(0, 80) ?? '',
    explanation:
      'Made by fixed rules from words of the goal, without a model: read it with care, and change what does not fit.',
    steps: rules.slice(0, most).map(({ task, prompt }, index) => {
      const before = index === 0 ? undefined : rules[index - 1]?.task;
      const told = before === undefined ? '' : `\n\nThe step before said:\n{{steps.${before}.output}}`;
      return {
        id: task,
        agent: agentOf(task) ?? '',
        task,
        depends_on: before === undefined ? [] : [before],
        prompt: `${prompt}\n\nThe goal:\n${withoutMarks(cut(goal))}${told}`,
      };
    }),
  };
}

const goalBytes = 3_000;
function cut(goal: string): string {
  const bytes = Buffer.from(goal);
  return bytes.length <= goalBytes
    ? goal
    : `${bytes
        .subarray(0, goalBytes)
        .toString('utf8')
        .replace(/\uFFFD$/, '')} … [cut]`;
}

/** A goal names no output of a step: there was none when it was written. */
const withoutMarks = (goal: string): string => goal.replaceAll('{{', '{ {');
