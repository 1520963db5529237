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
  /** Settings to choose from: the fastest in one try of each runs in all turns. None: it cannot run here. */
  readonly commands: readonly Command[]
  /** Why there is none. */
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

/** Threads of server and client, at most as many as ours has, and turns that a waiting thread spins. */
interface Tuning { readonly server: number, readonly client: number, readonly spin: number }

/** Each of these was the fastest at some time on 2 cores: 10 000 turns in the server led by 1.3, and with busier cores cost two thirds. */
const SPLIT: readonly Tuning[] = [
  { server: Infinity, client: Infinity, spin: 1000 },
  { server: Infinity, client: 1, spin: 10_000 },
  { server: 1, client: 1, spin: 0 }
]
/** libgomp's own default first: in one process spinning without end was twice as fast as sleeping, until others wanted the cores. */
const UNSPLIT: readonly Tuning[] = [
  { server: Infinity, client: Infinity, spin: 300_000 },
  { server: Infinity, client: Infinity, spin: 1000 },
  { server: 1, client: 1, spin: 0 }
]

export interface SplitOptions {
  readonly shapes: readonly string[]
  readonly clients: readonly number[]
  readonly threads: number
  readonly batch: number
  readonly steps: number
}

export function splitContest (python: Environments, { shapes, clients, threads, batch, steps }: SplitOptions): Contest {
  const cases = shapes.flatMap(shape => clients.map((count): Case => {
    const flags = ['--shape', shape, '--clients', String(count), '--batch', String(batch)]
    const fmtl = (impl: string): Contestant => ({ impl, commands: [ours('split', '--impl', impl, '--threads', String(threads), ...flags)] })
    // One measured window a turn: the turns are the repetition.
    const torch = (impl: string, transport: string, tunings: readonly Tuning[]): Contestant => ({
      impl,
      commands: tunings.map(({ server, client, spin }) => theirs(python.main, 'torch_split.py', '--transport', transport, '--steps', String(steps), '--runs', '1',
        '--threads', String(Math.min(server, threads)), '--client-threads', String(Math.min(client, threads)), '--spin', String(spin), ...flags))
    })
    return {
      facts: { shape, clients: count, threads, batch },
      contestants: [fmtl('fmtl'), torch('torch-socket', 'socket', SPLIT), torch('torch-grpc', 'grpc', SPLIT), fmtl('unsplit'), torch('torch-unsplit', 'none', UNSPLIT)]
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
    const flower = (mode: string): Contestant => ({ impl: `flower-${mode}`, commands: [theirs(python.main, 'flower_rounds.py', '--mode', mode, ...flags)] })
    const p2pfl: Contestant = python.p2pfl === undefined
      ? { impl: 'p2pfl-memory', commands: [], reason: python.p2pflReason ?? 'it is not installed' }
      : { impl: 'p2pfl-memory', commands: [theirs(python.p2pfl, 'p2pfl_rounds.py', ...flags)] }
    return {
      facts: { size, clients: count },
      contestants: [
        { impl: 'none', commands: [theirs(python.main, 'plain_rounds.py', ...flags)] },
        { impl: 'fmtl-simulation', commands: [ours('rounds', '--runner', 'in-process', ...flags)] }, flower('simulation'), p2pfl,
        { impl: 'fmtl-daemons', commands: [ours('rounds', '--runner', 'process', ...flags)] }, flower('deployment')
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
