import type { GitFacts } from '../../contract.ts';
import { readIdeState, readStatus } from './run-files.ts';

const unknown = 'not known yet';

function describeGit({ branch, ahead, behind, dirty }: GitFacts): string {
  return `${branch ?? 'no branch'} · ↑${String(ahead)} ↓${String(behind)} · ${dirty ? 'changed' : 'clean'}`;
}

export const factNames = ['agent', 'git', 'ide'] as const;
export type FactName = (typeof factNames)[number];

/** Lines for Coder's agent metadata, from what the sidecar tells: git is never run in a folder it can write. */
export const facts: Readonly<Record<FactName, (runDir: string) => string>> = {
  agent: (runDir) => readStatus(runDir)?.doing ?? unknown,
  git: (runDir) => {
    const git = readStatus(runDir)?.git;
    return git === undefined ? unknown : describeGit(git);
  },
  ide: (runDir) => {
    const state = readIdeState(runDir);
    if (state === null) return unknown;
    return state.message === '' ? state.phase : `${state.phase}: ${state.message}`;
  },
};
