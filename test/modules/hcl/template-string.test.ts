import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { escapeTemplate, singleExpression, splitTemplate } from '../../../modules/hcl/template-string.ts';

describe('splitTemplate', () => {
  it.each([
    ['plain \\ "text"', [['literal', 'plain \\ "text"']]],
    [
      'a ${b} c',
      [
        ['literal', 'a '],
        ['expression', '${b}'],
        ['literal', ' c'],
      ],
    ],
    ['$${a} %%{b}', [['literal', '$${a} %%{b}']]],
    ['${"}"}', [['expression', '${"}"}']]],
    ['${"a\\"}"}', [['expression', '${"a\\"}"}']]],
    ['${"$${"}', [['expression', '${"$${"}']]],
    [
      '${"${x}"}y',
      [
        ['expression', '${"${x}"}'],
        ['literal', 'y'],
      ],
    ],
    ['${{ a = { b = 1 } }}', [['expression', '${{ a = { b = 1 } }}']]],
    [
      '%{ if a }x%{ endif }',
      [
        ['expression', '%{ if a }'],
        ['literal', 'x'],
        ['expression', '%{ endif }'],
      ],
    ],
    ['$a $', [['literal', '$a $']]],
  ])('reads %j', (template, parts) => {
    expect(splitTemplate(template).map(({ kind, text }) => [kind, text])).toEqual(parts);
  });

  it('refuses an expression that never ends', () => {
    expect(() => splitTemplate('a ${b')).toThrow('never ends');
  });

  it('loses nothing', () => {
    const piece = fc.constantFrom('${x}', '$${', '%%{', '%{ if x }', '"', '\\', '{', '}', '\n', 'a', '${"}"}');
    fc.assert(
      fc.property(fc.array(piece), (pieces) => {
        const template = pieces.join('');
        expect(
          splitTemplate(template)
            .map(({ text }) => text)
            .join(''),
        ).toBe(template);
      }),
    );
  });
});

describe('escapeTemplate', () => {
  it('makes any text literal', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom('${', '%{', '$', '}', 'x', '"', '\n')), (pieces) => {
        const parts = splitTemplate(escapeTemplate(pieces.join('')));
        expect(parts.every(({ kind }) => kind === 'literal')).toBe(true);
      }),
    );
  });
});

describe('singleExpression', () => {
  it.each([
    ['${var.x}', 'var.x'],
    ['${ var.x }', 'var.x'],
    ['${a}${b}', undefined],
    ['x${a}', undefined],
    ['$${a}', undefined],
    ['${~ a ~}', undefined],
    ['%{ if a }%{ endif }', undefined],
  ])('reads %j as %j', (template, expected) => {
    expect(singleExpression(template)).toBe(expected);
  });
});
