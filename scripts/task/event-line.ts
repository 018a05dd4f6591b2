import type { TaskEvent } from '../../modules/contract.ts';
import { visible } from '../approval-text.ts';

const longest = 300;

/** An agent may have written it: it must not steer the terminal. */
const word = (value: unknown): string => {
  if (typeof value !== 'string' && typeof value !== 'number') return '';
  const text = String(value);
  return visible(text.length > longest ? `${text.slice(0, longest)} …` : text);
};
const behind = (value: unknown): string => (word(value) === '' ? '' : ` (${word(value)})`);

const hosts = (value: unknown): string =>
  (Array.isArray(value) ? value : []).map((one) => word((one as { host?: unknown } | null)?.host)).join(', ');

type Describe = (data: TaskEvent['data']) => string;

/** The events worth a line, and their words. */
const lines: Partial<Record<TaskEvent['type'], Describe>> = {
  'task.queued': () => 'queued',
  'task.starting': () => 'starting',
  'task.leased': () => 'leased by the bridge',
  'task.running': () => 'running',
  'task.waiting': () => 'waiting for a person',
  'task.retrying': (data) => `will try again (${word(data['reason'])})`,
  'task.stopping': (data) => `stopping${behind(data['reason'])}`,
  'task.budget_warning': (data) => `most of a budget is spent (${word(data['scope'])}, ${word(data['kind'])})`,
  'task.finished': (data) => `finished: ${word(data['outcome'])}${behind(data['reason'])}`,
  'approval.requested': (data) => `asks (${word(data['kind'])}): ${word(data['title'])}`,
  'approval.decided': (data) => `decided: ${word(data['decision'])}`,
  'approval.expired': () => 'nobody decided in time',
  'session.opened': () => 'OpenCode session opened',
  'session.resumed': () => 'OpenCode session resumed',
  'message.queued': () => 'somebody sent a message',
  'message.sent': () => 'the session heard a message',
  'tool.finished': (data) =>
    `tool ${word(data['tool'])}: ${word(data['title'])}${word(data['exit']) === '' ? '' : ` (exit ${word(data['exit'])})`}`,
  'verify.finished': (data) => `verify command exited with ${word(data['exit'])}`,
  'commit.created': (data) => `commit ${word(data['commit']).slice(0, 10)} on ${word(data['branch'])}`,
  'checkpoint.created': (data) => `checkpoint ${word(data['number'])} saved`,
  'checkpoint.restored': (data) => `checkpoint ${word(data['number'])} restored`,
  'artifact.stored': (data) => `file ${word(data['name'])} kept (${word(data['bytes'])} bytes)`,
  'egress.blocked': (data) => `may not reach ${hosts(data['hosts'])}; it can be asked for (docs/egress.md)`,
  'bridge.notice': (data) => `notice: ${word(data['notice'])}`,
};

/** One line for a person; null for an event that is not worth one. */
export const eventLine = (event: TaskEvent): string | null => lines[event.type]?.(event.data) ?? null;
