/** `fmtl-node bench …`: how fast this machine and this network are, one file per bench. */
import { registerAggregate } from './aggregate.ts'
import { registerCodecBench } from './codec.ts'
import { registerDelta } from './delta.ts'
import { registerGossip } from './gossip.ts'
import { registerLearning } from './learning/index.ts'
import { registerNet } from './net.ts'
import { registerRounds } from './rounds.ts'
import { registerSplit } from './split.ts'
import { registerStart } from './start.ts'
import type { Command } from 'commander'

export function registerBench (program: Command): void {
  const bench = program.command('bench').description('measure this machine: figures with their spread, as a table, NDJSON or files')
  registerAggregate(bench)
  registerCodecBench(bench)
  registerDelta(bench)
  registerGossip(bench)
  registerLearning(bench)
  registerNet(bench)
  registerRounds(bench)
  registerSplit(bench)
  registerStart(bench)
}
