import { reached } from './addresses.ts';
import type { Lab } from './namespaces.ts';

export interface Report {
  readonly allowed: readonly { readonly name: string; readonly works: boolean }[];
  readonly tried: readonly Tried[];
}

export interface Tried {
  readonly group: string;
  readonly name: string;
  readonly token: string;
  readonly text: string;
}

export async function tryEverything(lab: Lab, only = ''): Promise<Report> {
  return JSON.parse(await lab.run('try-everything', { ONLY: only })) as Report;
}

/** The ways that got out: something answered, or something arrived where it should not have. */
export function waysOut({ tried }: Report, lab: Lab): readonly Tried[] {
  const seen = lab.seen();
  const arrived = (token: string): boolean =>
    seen.some((one) => one.seen.includes(one.place === 'allowed' ? `smuggled-${token}` : token));
  return tried.filter(({ text, token }) => text.includes(reached) || arrived(token));
}

export const whatGotOut = (report: Report, lab: Lab): string[] =>
  waysOut(report, lab).map(({ group, name }) => `${group}: ${name}`);
