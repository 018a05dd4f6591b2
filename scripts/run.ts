import type { Command } from 'commander';
import { taskRunCommand } from './task.ts';

/** `outrigger run`, the short name of `outrigger task run`. */
export const runCommand = (): Command => taskRunCommand('run');
