/** Native ES modules; one throw-away Postgres for the whole run (test/support/global-setup.ts). */
export default {
  rootDir: import.meta.dirname,
  testMatch: ['<rootDir>/test/**/*.test.ts'],
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      { jsc: { target: 'es2022', parser: { syntax: 'typescript' } }, module: { type: 'es6' } },
    ],
  },
  globalSetup: '<rootDir>/test/support/global-setup.ts',
  testSequencer: '<rootDir>/test/support/longest-first.js',
  globalTeardown: '<rootDir>/test/support/global-teardown.ts',
  testTimeout: 400_000,
  maxWorkers: 2,
  modulePathIgnorePatterns: ['<rootDir>/cdktf.out'],
};
