import { describe } from '@jest/globals';
import { openCode } from '../../../../modules/opencode/bridge/opencode-1/opencode.ts';
import { opencodeBinary } from '../../../support/bridge/bridge-process.ts';
import { conform } from './conformance.ts';

/** Another build of OpenCode may be examined by its path. */
const program = process.env['OPENCODE_PROGRAM'] ?? opencodeBinary;

const otherVersion = `#!${process.execPath}
const port = process.argv[process.argv.indexOf('--port') + 1];
require('node:http')
  .createServer((request, response) => {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ healthy: true, version: '0.0.1' }));
  })
  .listen(Number(port), '127.0.0.1');
`;

describe('OpenCode, behind the interface of a harness (part of D22)', () => {
  conform({ harness: openCode, program, otherVersion });
});
