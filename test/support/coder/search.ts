import { refuse, type Answer } from './answers.ts';
import { phaseOf, statusWord } from './timeline.ts';
import { isDeleted, latestBuild, type SimulatedUser, type SimulatedWorkspace, type World } from './world.ts';

const words = [
  'pending',
  'starting',
  'running',
  'stopping',
  'stopped',
  'failed',
  'canceling',
  'canceled',
  'deleting',
  'deleted',
];

export const statusOf = (world: World, workspace: SimulatedWorkspace): string => {
  const build = latestBuild(world, workspace);
  return statusWord(build.transition, phaseOf(build, world.now()).job);
};

type Filter = (workspace: SimulatedWorkspace) => boolean;

/** Filters by the key of a search term; the terms of the notes that nobody here asks for are refused as unknown. */
const filters: Readonly<Record<string, (world: World, asking: SimulatedUser, value: string) => Filter>> = {
  owner: (world, asking, value) => (workspace) =>
    value === 'me' ? workspace.ownerId === asking.id : world.users.get(workspace.ownerId)?.username === value,
  name: (_world, _asking, value) => (workspace) => workspace.name.includes(value),
  template: (world, _asking, value) => (workspace) => world.templates.get(workspace.templateId)?.name === value,
  status: (world, _asking, value) => (workspace) => statusOf(world, workspace) === value,
  id: (_world, _asking, value) => (workspace) => value.split(',').includes(workspace.id),
};

/** The workspaces that a query means, or what is wrong with it. Deleted ones are never among them. */
export function searchWorkspaces(
  world: World,
  asking: SimulatedUser,
  query: string,
): readonly SimulatedWorkspace[] | Answer {
  const chosen: Filter[] = [(workspace) => !isDeleted(world, workspace)];
  for (const term of query.split(' ').filter((part) => part !== '')) {
    const [key = '', value = ''] = term.includes(':')
      ? [term.slice(0, term.indexOf(':')), term.slice(term.indexOf(':') + 1)]
      : ['name', term];
    const filter = filters[key];
    if (!filter) return badQuery(key, `"${key}" is not a valid query param`);
    if (key === 'status' && !words.includes(value))
      return badQuery('status', `Query param "status" has invalid value: "${value}" is not a valid value`);
    chosen.push(filter(world, asking, value));
  }
  return [...world.workspaces.values()].filter((workspace) => chosen.every((matches) => matches(workspace)));
}

const badQuery = (field: string, detail: string): Answer =>
  refuse(400, 'Invalid workspace search query.', undefined, [{ field, detail }]);
