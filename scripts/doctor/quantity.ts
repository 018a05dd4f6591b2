const units: Readonly<Record<string, number>> = {
  '': 1,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  Ki: 1024,
  Mi: 1024 ** 2,
  Gi: 1024 ** 3,
  Ti: 1024 ** 4,
  Pi: 1024 ** 5,
};

/** Bytes of a quantity as Kubernetes writes it, such as `512Mi` or `1e9`; undefined where it is none. */
export function bytesOf(quantity: string): number | undefined {
  const [, number = '', unit = ''] = /^(\d+(?:\.\d+)?(?:e\d+)?)([a-zA-Z]*)$/.exec(quantity) ?? [];
  const factor = units[unit];
  return number === '' || factor === undefined ? undefined : Number(number) * factor;
}
