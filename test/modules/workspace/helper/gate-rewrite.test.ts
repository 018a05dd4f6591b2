import { describe, expect, it } from '@jest/globals';
import { parseRequest, parseResponse } from '../../../../modules/workspace/helper/gate-head.ts';
import {
  openingOf,
  requestForIde,
  responseForBrowser,
  targetBehind,
} from '../../../../modules/workspace/helper/gate-rewrite.ts';

const path = 'a'.repeat(64);

describe('a redirect of the IDE', () => {
  const locationFor = (target: string, location: string): string | undefined => {
    const response = parseResponse(Buffer.from(`HTTP/1.1 302 Found\r\nLocation: ${location}\r\n\r\n`));
    if (response === null) throw new Error('no response');
    return /Location: (.*)\r/.exec(responseForBrowser(response, target, 'coder.example'))?.[1];
  };

  it.each([
    ['/', '/login', './login'],
    ['/', './?folder=/w', './?folder=/w'],
    ['/a', '/', './'],
    ['/a/b?x=/y/z', '/c', '../c'],
    ['/a/b/', '/c?d#e', '../../c?d#e'],
    ['/a', 'http://coder.example/c', './c'],
    ['/a', '//coder.example', './'],
    ['/a', 'https://elsewhere.example/c', 'https://elsewhere.example/c'],
    ['/a/b', '..', '..'],
  ])('from %s to %s is %s for the browser', (target, location, expected) => {
    expect(locationFor(target, location)).toBe(expected);
  });
});

describe('a request', () => {
  it.each([
    [`/${path}/x?a=1`, '/x?a=1'],
    [`/${path}`, '/'],
    [`/${path}?a`, '/?a'],
    [`/${path}//x`, '//x'],
    [`/${path}x`, null],
    [`/${path}%2fx`, null],
    [`/${path.slice(1)}`, null],
    ['/', null],
    [`//${path}/x`, null],
    // Longer in bytes than in characters: a comparison of unequal buffers would throw.
    [`/${'ü'.repeat(64)}/x`, null],
  ])('for %s asks the IDE for %s', (target, expected) => {
    expect(targetBehind(path, target)).toBe(expected);
  });

  it('loses its own connection headers, and an upgrade to anything but a WebSocket', () => {
    const request = parseRequest(
      Buffer.from('GET /x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nExpect: 100-continue\r\n\r\n'),
    );

    expect(request && requestForIde(request, '/x')).toBe('GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n');
  });
});

describe('the address of the app', () => {
  const files = '/workspace/.outrigger/worktrees/agent-x';
  it.each([
    ['/?folder=/workspace/app&follow=task', files, `?folder=${files}`],
    ['/?folder=/workspace/app&follow=task', null, '?folder=/workspace/app'],
    ['/?folder=/workspace/app&follow=task&locale=de', files, `?folder=${files}&locale=de`],
    ['/?follow=task', null, '?'],
    ['/?folder=/workspace/app', files, null],
    ['/?folder=/workspace/app&follow=tasks', files, null],
    ['/static/x.js?follow=task', files, null],
    ['/', files, null],
  ])('%s, with the files of a task in %s, leads to %s', (target, where, expected) => {
    expect(openingOf(target, where)).toBe(expected);
  });
});
