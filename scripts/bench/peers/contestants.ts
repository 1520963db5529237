/** Who is measured: per case the contestants, the figure that counts, and which of ours stands against which of theirs. */
import { ours, theirs } from './command.ts'
import type { Command } from './command.ts'
import type { Environments } from './environment.ts'

/** One thing to measure: a shape with clients and threads, or a model size. Its values name it in a row. */
export interface Case {
  readonly facts: Readonly<Record<string, string | number>>
  readonly contestants: readonly Contestant[]
}

export interface Contestant {
  readonly impl: string
  /** undefined: it cannot run here, and `reason` says why. */
  readonly command: Command | undefined
  readonly reason?: string
}

/** ours, theirs. */
export type Opponents = readonly (readonly [string, string])[]

export interface Contest {
  readonly figure: string
  readonly higherIsBetter: boolean
  readonly opponents: Opponents
  readonly cases: readonly Case[]
}

export interface SplitOptions {
  readonly shapes: readonly string[]
  readonly clients: readonly number[]
  readonly threads: number
  readonly batch: number
  readonly steps: number
}

export function splitContest (python: Environments, { shapes, clients, threads, batch, steps }: SplitOptions): Contest {
  const common = ['--threads', String(threads), '--batch', String(batch)]
  const cases = shapes.flatMap(shape => clients.map((count): Case => {
    const flags = ['--shape', shape, '--clients', String(count), ...common]
    const fmtl = (impl: string): Contestant => ({ impl, command: ours('split', '--impl', impl, ...flags) })
    // One measured window a turn: the turns are the repetition.
    const torch = (impl: string, transport: string): Contestant =>
      ({ impl, command: theirs(python.main, 'torch_split.py', '--transport', transport, '--steps', String(steps), '--runs', '1', ...flags) })
    return {
      facts: { shape, clients: count, threads, batch },
      contestants: [fmtl('fmtl'), torch('torch-socket', 'socket'), torch('torch-grpc', 'grpc'), fmtl('unsplit'), torch('torch-unsplit', 'none')]
    }
  }))
  return {
    figure: 'samplesPerSecond',
    higherIsBetter: true,
    opponents: [['fmtl', 'torch-socket'], ['fmtl', 'torch-grpc'], ['unsplit', 'torch-unsplit']],
    cases
  }
}

export interface RoundsOptions {
  /** small, large. */
  readonly sizes: readonly string[]
  readonly clients: readonly number[]
  readonly rounds: number
  readonly data: string
}

export function roundsContest (python: Environments, { sizes, clients, rounds, data }: RoundsOptions): Contest {
  const cases = sizes.flatMap(size => clients.map((count): Case => {
    const flags = ['--parameters', size, '--data', data, '--clients', String(count), '--rounds', String(rounds)]
    const flower = (mode: string): Contestant => ({ impl: `flower-${mode}`, command: theirs(python.main, 'flower_rounds.py', '--mode', mode, ...flags) })
    const p2pfl: Contestant = python.p2pfl === undefined
      ? { impl: 'p2pfl-memory', command: undefined, reason: python.p2pflReason ?? 'it is not installed' }
      : { impl: 'p2pfl-memory', command: theirs(python.p2pfl, 'p2pfl_rounds.py', ...flags) }
    return {
      facts: { size, clients: count },
      contestants: [
        { impl: 'none', command: theirs(python.main, 'plain_rounds.py', ...flags) },
        { impl: 'fmtl-simulation', command: ours('rounds', '--runner', 'in-process', ...flags) }, flower('simulation'), p2pfl,
        { impl: 'fmtl-daemons', command: ours('rounds', '--runner', 'process', ...flags) }, flower('deployment')
      ]
    }
  }))
  return {
    figure: 'secondsPerRound',
    higherIsBetter: false,
    opponents: [['fmtl-simulation', 'flower-simulation'], ['fmtl-simulation', 'p2pfl-memory'], ['fmtl-simulation', 'none'], ['fmtl-daemons', 'flower-deployment']],
    cases
  }
}
