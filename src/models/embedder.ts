/**
 * Client-side embedders: raw rows to tokens [B, N, D]. Every modality is first unfolded into N pieces of P numbers in plain
 * arithmetic (`unfold`), then one linear layer with a bias and learned positions embeds the pieces. So one graph serves
 * pictures (patches), series (windows), table rows, table columns and hashed words.
 */
import { createFoundationEmbedder } from '../foundation/embedder.ts'
import { InvalidParametersError } from '../errors.ts'
import { GraphBuilder } from '../graph/graph.ts'
import { elements } from '../tensor/tensor.ts'
import type { EmbedderSpec } from './spec.ts'
import type { InputSpec } from '../data/dataset.ts'
import type { Graph } from '../graph/graph.ts'
import type { TensorData } from '../tensor/tensor.ts'

export interface Embedder {
  readonly tokens: number
  /** Numbers per piece, P. */
  readonly pieceSize: number
  /** Cells of the token grid: [rows, columns] for pictures, else [tokens]. */
  readonly grid: readonly number[]
  readonly graph: Graph
  /** Raw rows (count x input) to pieces [count, N, P]. */
  unfold (x: Float32Array, count: number): TensorData
}

/** @throws {InvalidParametersError} the embedder does not fit the input */
export function createEmbedder (spec: EmbedderSpec, input: InputSpec, width: number): Embedder {
  if (spec.foundation !== undefined) return createFoundationEmbedder(spec.foundation, input, width)
  const { grid, pieceSize, unfold, deviation, positions } = layout(spec, input)
  const tokens = elements(grid)
  const g = new GraphBuilder()
  const pieces = g.reshape(g.input('pieces', ['B', tokens, pieceSize]), [`B*${tokens}`, pieceSize])
  const product = g.matMul(pieces, g.parameter('weight', [pieceSize, width], { deviation }))
  const embedded = g.reshape(g.add(product, g.parameter('bias', [width], { value: 0 })), ['B', tokens, width])
  g.output('activations', positions
    ? g.add(embedded, g.parameter('positions', [tokens, width], { deviation: 0.3 }))
    : embedded)
  return {
    tokens,
    pieceSize,
    grid,
    graph: g.build(),
    unfold: (x, count) => {
      const data = new Float32Array(count * tokens * pieceSize)
      const size = elements(input.shape)
      for (let row = 0; row < count; row++) {
        unfold(x.subarray(row * size, (row + 1) * size), data.subarray(row * tokens * pieceSize, (row + 1) * tokens * pieceSize))
      }
      return { shape: [count, tokens, pieceSize], data }
    }
  }
}

interface Layout {
  grid: number[]
  pieceSize: number
  deviation: number
  positions: boolean
  /** `into` is all zeros before. */
  unfold: (row: Float32Array, into: Float32Array) => void
}

function layout (spec: EmbedderSpec, input: InputSpec): Layout {
  switch (spec.kind) {
    case 'patches': return patches(spec, input, 2)
    case 'windows': return patches(spec, input, 1)
    case 'row': {
      const size = elements(input.shape)
      return { grid: [1], pieceSize: size, deviation: size ** -0.5, positions: false, unfold: (row, into) => into.set(row) }
    }
    case 'columns': {
      const size = elements(input.shape)
      const unfold = (row: Float32Array, into: Float32Array): void => row.forEach((value, i) => { into[i * size + i] = value })
      return { grid: [size], pieceSize: size, deviation: 0.3, positions: true, unfold }
    }
    case 'tokens': {
      const [length, slots] = expectAxes(input, 2)
      const buckets = input.buckets ?? 0
      if (buckets < 1) throw new InvalidParametersError('the tokens embedder needs an input with hash buckets')
      const { taps = 1 } = spec
      const reach = (taps - 1) / 2
      // A token is the mean of its slots' rows in the table, and of its neighbours' in tables of their own; started small, or the
      // sum of features drowns the positions.
      const unfold = (row: Float32Array, into: Float32Array): void => {
        for (let token = 0; token < length; token++) {
          const used = row.subarray(token * slots, (token + 1) * slots).filter(bucket => bucket >= 0)
          for (let seenBy = Math.max(0, token - reach); seenBy <= Math.min(length - 1, token + reach); seenBy++) {
            const table = (seenBy * taps + token - seenBy + reach) * buckets
            for (const bucket of used) into[table + bucket] = (into[table + bucket] as number) + 1 / used.length
          }
        }
      }
      return { grid: [length], pieceSize: taps * buckets, deviation: 0.05, positions: true, unfold }
    }
  }
}

/** Windows of `patch` every `stride` over the first `axes` axes; outside counts as zero. Channels stay together. */
function patches (spec: EmbedderSpec, input: InputSpec, axes: 1 | 2): Layout {
  const { patch, stride, padding } = spec
  const sizes = expectAxes(input, axes + 1)
  const channels = sizes[axes] as number
  const [height, width] = axes === 2 ? [sizes[0] as number, sizes[1] as number] : [1, sizes[0] as number]
  const count = (size: number): number => Math.floor((size + 2 * padding - patch) / stride) + 1
  const [gridRows, gridColumns] = [axes === 2 ? count(height) : 1, count(width)]
  if (patch < 1 || stride < 1 || gridRows < 1 || gridColumns < 1) {
    throw new InvalidParametersError(`patches of ${patch} with stride ${stride} and padding ${padding} do not fit an input of [${input.shape.join(', ')}]`,
      { next: `set model.embedder.patch to ${Math.min(height, width)} or less` })
  }
  const patchRows = axes === 2 ? patch : 1
  const pieceSize = patchRows * patch * channels
  const unfold = (row: Float32Array, into: Float32Array): void => {
    const line = patch * channels
    let at = 0
    for (let gy = 0; gy < gridRows; gy++) {
      for (let gx = 0; gx < gridColumns; gx++) {
        const x = gx * stride - padding
        const [first, end] = [Math.max(0, -x) * channels, Math.min(patch, width - x) * channels]
        for (let dy = 0; dy < patchRows; dy++, at += line) {
          const y = axes === 2 ? gy * stride - padding + dy : 0
          if (y < 0 || y >= height) continue
          const from = (y * width + x) * channels
          for (let i = first; i < end; i++) into[at + i] = row[from + i] as number
        }
      }
    }
  }
  return { grid: axes === 2 ? [gridRows, gridColumns] : [gridColumns], pieceSize, deviation: pieceSize ** -0.5, positions: true, unfold }
}

function expectAxes (input: InputSpec, axes: number): [number, number, ...number[]] {
  if (input.shape.length !== axes) throw new InvalidParametersError(`this embedder reads inputs of ${axes} axes, the data has [${input.shape.join(', ')}]`)
  return input.shape as unknown as [number, number, ...number[]]
}
