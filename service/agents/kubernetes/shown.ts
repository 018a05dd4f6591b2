type Fields = Readonly<Record<string, unknown>>;

const lastApplied = 'kubectl.kubernetes.io/last-applied-configuration';
const redacted = '(redacted)';

/**
 * What may be shown of an object: it goes to the submitter and on to later steps, so values that tend to be secret
 * stay behind, also in the copy that kubectl keeps.
 */
export function shownOf(body: Fields): Fields {
  const { managedFields: _theirs, annotations, ...metadata } = fieldsOf(body['metadata']);
  const { [lastApplied]: _copy, ...kept } = fieldsOf(annotations);
  const shown = { ...body, metadata: { ...metadata, ...(annotations === undefined ? {} : { annotations: kept }) } };
  return withoutValues(body['kind'] === 'Secret' ? withoutData(shown) : shown) as Fields;
}

const fieldsOf = (value: unknown): Fields => (typeof value === 'object' && value !== null ? (value as Fields) : {});

const withoutData = (secret: Fields): Fields =>
  Object.fromEntries(
    Object.entries(secret).map(([key, value]) => [key, key === 'data' || key === 'stringData' ? redacted : value]),
  );

/** Literal values of `env`, wherever a container stands. */
function withoutValues(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutValues);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key,
      key === 'env' && Array.isArray(inner) ? inner.map(withoutValue) : withoutValues(inner),
    ]),
  );
}

const withoutValue = (variable: unknown): unknown =>
  typeof variable === 'object' && variable !== null && 'value' in variable
    ? { ...variable, value: redacted }
    : variable;
