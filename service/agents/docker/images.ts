import { ServiceError } from '../../platform/errors.ts';
import { AgentFailure } from '../agent-failure.ts';

/** What a name may look like: no id of an image, which says nothing of where it comes from. */
const reference =
  /^(?:(?<domain>localhost(?::\d+)?|[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::\d+)?|[a-z0-9-]+:\d+)\/)?(?<path>[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*)*)(?<version>:\w[\w.-]{0,127}|@sha256:[a-f0-9]{64})?$/;

interface ImageName {
  /** Registry and path. */
  readonly repository: string;
  /** With its `:` or `@`; empty where none is named. */
  readonly version: string;
}

function nameOf(text: string): ImageName | null {
  const { domain, path = '', version = '' } = text.length > 500 ? {} : (reference.exec(text)?.groups ?? {});
  if (path === '') return null;
  const place = domain ?? 'docker.io';
  const isOfficial = place === 'docker.io' && !path.includes('/');
  return { repository: `${place}/${isOfficial ? `library/${path}` : path}`, version };
}

/**
 * An admin's list of images: each a repository, one of its versions, or with a `/` at its end all that is below.
 * Throws `invalid` for a word that is none of these.
 */
export function readImages(given: readonly string[]): readonly string[] {
  const wrong = given.find((word) => nameOf(bareOf(word)) === null && !isRegistry(word));
  if (wrong === undefined) return given;
  throw new ServiceError(
    'invalid',
    'docker_image_unknown',
    `docker.images names '${wrong}', which is no image. Write such as registry.example.com/team/ or alpine:3.`,
  );
}

const bareOf = (word: string): string => word.replace(/\/$/, '');
const isRegistry = (word: string): boolean => /^[a-z0-9][a-z0-9.-]*(:\d+)?\/$/.test(word);

/** Whether `name` is what `word` of an admin's list means. */
function isMeant({ repository, version }: ImageName, word: string): boolean {
  if (word.endsWith('/')) return repository.startsWith(folderOf(word));
  const listed = nameOf(word);
  return listed?.repository === repository && (listed.version === '' || listed.version === version);
}

/** `team/` is below docker.io, as `team/image` is. */
function folderOf(word: string): string {
  const [first = ''] = word.split('/');
  return /[.:]|^localhost$/.test(first) ? word : `docker.io/${word}`;
}

/** Whether a task may name it. */
export const isImage = (text: string): boolean => nameOf(text) !== null;

/** The whole name of an image on the admin's list. Throws `AgentFailure` for one that is not. */
export function allowedImage(image: string, list: readonly string[]): string {
  const name = nameOf(image);
  if (list.length === 0) throw nothingAllowed();
  if (!name || !list.some((word) => isMeant(name, word))) throw notAllowed(image, list);
  return name.repository + (name.version === '' ? ':latest' : name.version);
}

const nothingAllowed = (): AgentFailure =>
  new AgentFailure(
    'ContextError',
    'An admin of the service has allowed no image. They name those that may run in OUTRIGGER_DOCKER_IMAGES.',
  );

const notAllowed = (image: string, list: readonly string[]): AgentFailure =>
  new AgentFailure('ContextError', `The image '${image}' is not allowed. Allowed: ${list.join(', ')}.`);
