/** What the commands that talk to a running node have in common: which home, and how answers and failures are printed. */
import { Option } from 'commander'
import { FmtlError } from '../../src/errors.ts'
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
    .addOption(new Option('--format <format>', 'output form').choices(['text', 'json']).default('text'))
}

export function homeOf ({ home, config }: RunningFlags): string {
  return loadConfig({ ...config === undefined ? {} : { file: config }, env: process.env, flags: { 'node.home': home } }).node.home
}

/** Runs a command; as JSON a failure, too, is one object on standard output. */
export async function answering (flags: RunningFlags, run: (home: string) => Promise<void>): Promise<void> {
  try {
    await run(homeOf(flags))
  } catch (err) {
    if (flags.format !== 'json' || !(err instanceof FmtlError)) throw err
    printAnswer(failureOf(err))
    process.exitCode = 1
  }
}

export function failureOf ({ code, message, next }: FmtlError): object {
  return { success: false, code, message, ...next === undefined ? {} : { next } }
}

export function printAnswer (answer: object): void { process.stdout.write(`${JSON.stringify(answer)}\n`) }
