/** `fmtl-node bench …`: how fast this machine and this network are, one file per bench. */
import { registerDelta } from './delta.ts'
import { registerGossip } from './gossip.ts'
import { registerNet } from './net.ts'
import type { Command } from 'commander'

export function registerBench (program: Command): void {
  const bench = program.command('bench').description('measure this machine: figures with their spread, as a table, NDJSON or files')
  registerNet(bench)
  registerGossip(bench)
  registerDelta(bench)
}
