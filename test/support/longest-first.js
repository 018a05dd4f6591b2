/** Suites that take minutes; begun last, one of them would run alone at the end with a core idle beside it. */
const longest = [
  'e2e/kill-replicas',
  'e2e/upgrade',
  'e2e/kill-service',
  'e2e/kill-workspace',
  'templates/kubernetes-terraform',
  'opencode/bridge/bridge',
  'opencode/bridge/link',
  'opencode/bridge/process-end',
  'images/executor-pattern',
  'policy/mutation',
];

const rank = ({ path }) => {
  const place = longest.findIndex((name) => path.includes(`/${name}.`));
  return place === -1 ? longest.length : place;
};

/** The order jest runs suites in: the longest first, the others as they come. */
export default class LongestFirst {
  sort(tests) {
    return [...tests].sort((one, other) => rank(one) - rank(other));
  }
  shard(tests) {
    return tests;
  }
  allFailedTests(tests) {
    return tests;
  }
  cacheResults() {}
}
