import jest from 'eslint-plugin-jest';
import tseslint from 'typescript-eslint';

const noBarrel = {
  regex: '^@cdktf/provider-(kubernetes|docker)(/lib)?(/index(\\.js)?)?$',
  message:
    'The barrel loads every resource (seconds and hundreds of MB). Import one: @cdktf/provider-docker/lib/container/index.js.',
};
const noEnvironment = {
  selector: 'MemberExpression[object.name="process"][property.name="env"]',
  message: 'Only service/config.ts reads the environment. Take what you need as an argument.',
};
const noProcessImport = {
  regex: '^(node:)?process$',
  importNames: ['env', 'default'],
  message: noEnvironment.message,
};
const noRandomClock = [
  {
    selector: 'CallExpression[callee.object.name="Date"][callee.property.name="now"]',
    message: 'Time comes in as an argument: clock.now().',
  },
  {
    selector: 'CallExpression[callee.object.name="Math"][callee.property.name="random"]',
    message: 'Randomness comes in as an argument.',
  },
];

export default tseslint.config(
  {
    ignores: [
      '**/node_modules/',
      '**/dist/',
      '**/generated/',
      'cdktf.out/',
      'coverage/',
      '.test-results/',
      '.outrigger/',
      'templates/',
      'test/fixtures/',
    ],
  },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.base],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      '@typescript-eslint/await-thenable': 'error',
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'separate-type-imports' }],
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: { arguments: false } }],
      '@typescript-eslint/no-unnecessary-type-assertion': 'error',
      '@typescript-eslint/only-throw-error': 'error',
      '@typescript-eslint/return-await': ['error', 'error-handling-correctness-only'],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: false }],
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true, allowNever: true },
      ],
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      'no-console': 'error',
      'no-restricted-imports': ['error', { patterns: [noBarrel, noProcessImport] }],
      'no-restricted-syntax': ['error', noEnvironment],
      'no-var': 'error',
      'prefer-const': 'error',
    },
  },
  {
    // A CDKTF number token in a string becomes -1.8881545897087626e+289.
    files: ['stacks/**/*.ts', 'modules/**/*.ts'],
    ignores: ['modules/coder-sdk-ts/**', 'modules/hcl/**', 'modules/opencode/bridge/**', 'modules/contract.ts'],
    rules: {
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: false, allowBoolean: false, allowNever: true },
      ],
    },
  },
  {
    files: ['service/**/*.ts'],
    // Plumbing waits on real processes and sockets; what the product decides, it decides by the clock it is given.
    ignores: ['service/platform/**', 'service/config.ts'],
    rules: { 'no-restricted-syntax': ['error', noEnvironment, ...noRandomClock] },
  },
  {
    files: [
      'service/config.ts',
      'modules/opencode/bridge/entry.ts',
      'modules/workspace/helper/entry.ts',
      'modules/egress/entry.ts',
    ],
    rules: { 'no-restricted-syntax': 'off' },
  },
  {
    files: ['scripts/**/*.ts', 'test/**/*.ts'],
    rules: { 'no-restricted-syntax': 'off' },
  },
  {
    files: ['scripts/**/*.ts', 'test/bench/**/*.ts'],
    rules: { 'no-console': 'off' },
  },
  {
    files: ['test/**/*.test.ts'],
    plugins: { jest },
    rules: {
      'jest/no-disabled-tests': 'error',
      'jest/no-focused-tests': 'error',
      'jest/no-identical-title': 'error',
      'jest/valid-expect': 'error',
      'jest/valid-expect-in-promise': 'error',
    },
  },
);
