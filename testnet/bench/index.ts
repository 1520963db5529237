/** `fmtl-node bench …`: how fast this machine and this network are, one file per bench. */
import { registerRounds } from './rounds.ts'
import type { Command } from 'commander'

export function registerBench (program: Command): void {
  const bench = program.command('bench').description('measure this machine: figures with their spread, as a table, NDJSON or files')
  registerRounds(bench)
}
