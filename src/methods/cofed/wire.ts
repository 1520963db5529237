/** Names and forms of what CoFED sends. Accepted classes of a row travel as bits of whole numbers that float32 holds exactly. */
import { GraphBuilder } from '../../graph/graph.ts'
import type { Accepted } from './labels.ts'
import type { Charter } from '../../federation/charter.ts'
import type { Graph } from '../../graph/graph.ts'
import type { TaskSpec } from '../../tasks/task.ts'

/** Whole numbers below 2^24 are exact. */
const BITS = 24

/** Tasks that sites label for each other: one class per row. */
export function labelTasks ({ tasks }: Pick<Charter, 'tasks'>): readonly TaskSpec[] { return tasks.filter(({ kind }) => kind === 'classes') }

/** What hosts hold of a task, and merge: the votes of their sites, as `tally` sums them. */
export function votesGraph (rows: number, channels: number): Graph {
  const g = new GraphBuilder()
  g.output('votes', g.parameter('votes', [rows * channels + channels], { value: 0 }))
  return g.build()
}

/** Numbers per row of a told tensor. */
export function words (channels: number): number { return Math.ceil(channels / BITS) }

export function packAccepted (accepted: Accepted, rows: number, channels: number): Float32Array {
  const packed = new Float32Array(rows * words(channels))
  for (let row = 0; row < rows; row++) {
    for (let c = 0; c < channels; c++) {
      const at = row * words(channels) + Math.floor(c / BITS)
      if (accepted(row, c)) packed[at] = (packed[at] as number) + 2 ** (c % BITS)
    }
  }
  return packed
}

export function unpackAccepted (packed: Float32Array, channels: number): Accepted {
  return (row, c) => Math.floor((packed[row * words(channels) + Math.floor(c / BITS)] as number) / 2 ** (c % BITS)) % 2 === 1
}
