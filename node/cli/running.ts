/** What the commands that talk to a running node have in common: which home, and how answers are printed. */
import { formatOption } from './help.ts'
import { loadConfig } from '../config/config.ts'
import type { Command } from 'commander'

export interface RunningFlags {
  home?: string
  config?: string
  format: 'text' | 'json'
}

export function addRunningOptions (command: Command): Command {
  return command
    .option('--home <folder>', 'home of the node (default: FMTL_HOME, else ~/.fmtl)')
    .option('--config <file>', 'configuration file')
    .addOption(formatOption())
}

export function homeOf ({ home, config }: RunningFlags): string {
  return loadConfig({ ...config === undefined ? {} : { file: config }, env: process.env, flags: { 'node.home': home } }).node.home
}

export function printAnswer (answer: object): void { process.stdout.write(`${JSON.stringify(answer)}\n`) }
