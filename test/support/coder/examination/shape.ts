/**
 * Compares two answers by shape: keys and types, not ids, times or texts.
 *
 * Lists   elements are compared with the recorded one of the same id; where no ids agree, with all of them: a key
 *         that every recorded element has must be there, a key that none has must not. An empty list says nothing.
 * Cut     where a recorded object was shortened, only the keys that are left are compared.
 */
export function shapeFaults(
  recorded: unknown,
  given: unknown,
  ignored: ReadonlySet<string>,
  path = '',
): readonly string[] {
  if (ignored.has(withoutIndex(path))) return [];
  if (kindOf(recorded) !== kindOf(given))
    return [`${path || '(body)'}: ${kindOf(recorded)} recorded, ${kindOf(given)} given`];
  if (Array.isArray(recorded) && Array.isArray(given)) return listFaults(recorded, given, ignored, path);
  if (isObject(recorded) && isObject(given)) return objectFaults([recorded], given, ignored, path);
  return [];
}

const withoutIndex = (path: string): string => path.replaceAll(/\[\d+\]/g, '[]');

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'list' : typeof value;
}

type Fields = Readonly<Record<string, unknown>>;
const isObject = (value: unknown): value is Fields => kindOf(value) === 'object';

function listFaults(
  recorded: readonly unknown[],
  given: readonly unknown[],
  ignored: ReadonlySet<string>,
  path: string,
): readonly string[] {
  const models = recorded.filter(isObject);
  const twinOf = (element: unknown): Fields | undefined =>
    isObject(element) ? models.find((model) => 'id' in model && model['id'] === element['id']) : undefined;
  const hasTwins = given.some((element) => twinOf(element) !== undefined);
  return given.flatMap((element, index) => {
    const here = `${path}[${index}]`;
    const twin = twinOf(element);
    if (hasTwins && twin === undefined) return [];
    if (isObject(element) && models.length > 0) return objectFaults(twin ? [twin] : models, element, ignored, here);
    return recorded.length === 0 ? [] : shapeFaults(recorded[0], element, ignored, here);
  });
}

/** Compares an object with several recorded ones of its kind. */
function objectFaults(
  models: readonly Fields[],
  given: Fields,
  ignored: ReadonlySet<string>,
  path: string,
): readonly string[] {
  const cut = models.some((model) => model['$cut'] === true);
  const known = new Set(models.flatMap((model) => Object.keys(model)).filter((key) => key !== '$cut'));
  const keys = new Set([...known, ...(cut ? [] : Object.keys(given))]);
  return [...keys].flatMap((key) => {
    const here = path === '' ? key : `${path}.${key}`;
    if (ignored.has(withoutIndex(here))) return [];
    const having = models.filter((model) => key in model);
    if (!(key in given)) return having.length === models.length ? [`${here}: missing`] : [];
    if (having.length === 0) return [`${here}: never recorded`];
    const faults = having.map((model) => shapeFaults(model[key], given[key], ignored, here));
    return faults.some((some) => some.length === 0) ? [] : (faults[0] ?? []);
  });
}
