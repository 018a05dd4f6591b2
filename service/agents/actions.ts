/** One thing an agent can be asked to do. */
export interface Action {
  readonly name: string;
  /** One line for people who choose. */
  readonly summary: string;
  /** What the agent is told where the caller writes no prompt; `{{…}}` marks come from the task's payload. */
  readonly prompt: string;
}

const style = 'Keep to the style of this repository, change nothing else, and add a test.';

/** The catalogue: every action that is shipped, by the agent that does it. */
export const catalogue: Readonly<Record<string, readonly Action[]>> = {
  opencode: [
    {
      name: 'generate_code',
      summary: 'Writes code.',
      prompt: `Write the {{language}} code this repository needs next. ${style}`,
    },
    {
      name: 'generate_api',
      summary: 'Adds an endpoint to an API.',
      prompt: `Add the {{language}} API endpoint this repository needs. ${style}`,
    },
    {
      name: 'generate_ui',
      summary: 'Adds a user interface.',
      prompt: `Add the {{language}} user interface for the API of this repository. ${style}`,
    },
    {
      name: 'fix_tests',
      summary: 'Makes failing tests pass by mending the cause.',
      prompt: 'Run the tests of this repository, find why they fail, and mend the cause. Do not weaken a test.',
    },
    {
      name: 'write_tests',
      summary: 'Adds tests to code that has none.',
      prompt: 'Add tests for the {{language}} code of this repository that has none. Change no other code.',
    },
    {
      name: 'review_code',
      summary: 'Reads code and says what is wrong with it, without changing it.',
      prompt: 'Read the {{language}} code of this repository and name its faults, the worst first. Change no file.',
    },
  ],
  agentzero: [],
};

/** Fills `{{key}}` from `values`; what is not given becomes an empty string. */
export const fillPrompt = (template: string, values: Readonly<Record<string, string>>): string =>
  template
    .replace(/\{\{(\w+)\}\}/g, (_whole, key: string) => values[key] ?? '')
    .replace(/ {2,}/g, ' ')
    .trim();
