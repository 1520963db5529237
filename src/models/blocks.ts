/**
 * Models over blocks of an input's columns (views, modalities): an encoder per block, one hidden layer over the features of all
 * blocks, a readout per task.
 *
 *     h_v = gelu(x_v E_v + e_v)        u = gelu(sum_v h_v F_v^T + f)        prediction = u R + r
 *
 * The sum is the hidden layer on the blocks' features side by side, so a site without some blocks has the same layer with those
 * parts left out. F_v and R have a row per hidden unit: the first rows start alike however many units there are.
 */
import { GraphBuilder } from '../graph/graph.ts'
import { InvalidParametersError } from '../errors.ts'
import { elements } from '../tensor/tensor.ts'
import { linear } from './trunk.ts'
import type { BackboneSpec } from './spec.ts'
import type { Graph } from '../graph/graph.ts'
import type { InputSpec } from '../data/dataset.ts'
import type { TaskSpec } from '../tasks/task.ts'

/** Columns of each block, or into how many equal runs the columns are cut. */
export type BlockSpec = number | ReadonlyArray<readonly number[]>

/** Exact values of all subsets of blocks are asked for: 2^5 of them. */
export const MAX_BLOCKS = 5

/** @throws {InvalidParametersError} neither a number of blocks nor lists of columns */
export function parseBlocks (raw: unknown): BlockSpec {
  const next = `name 2 to ${MAX_BLOCKS} blocks: a number, or a list of columns for each`
  const fits = (count: number): boolean => Number.isInteger(count) && count >= 2 && count <= MAX_BLOCKS
  if (typeof raw === 'number' && fits(raw)) return raw
  if (!Array.isArray(raw) || !fits(raw.length)) throw new InvalidParametersError(`method.blocks must be 2 to ${MAX_BLOCKS} blocks of columns, got ${JSON.stringify(raw)}`, { next })
  const lists = raw as unknown[]
  if (!lists.every(list => Array.isArray(list) && list.length > 0 && list.every(column => Number.isInteger(column) && column >= 0))) {
    throw new InvalidParametersError('method.blocks: a block is a list of column numbers, counted from 0', { next })
  }
  return lists as number[][]
}

/** @throws {InvalidParametersError} the input has no such columns, or none at all */
export function blockColumns (blocks: BlockSpec, { modality, shape }: InputSpec): ReadonlyArray<readonly number[]> {
  if (modality === 'tokens') throw new InvalidParametersError('blocks of columns need numbers, the input is hashed words', { next: 'choose another strategy' })
  const size = elements(shape)
  if (typeof blocks === 'number') {
    if (blocks > size) throw new InvalidParametersError(`${size} columns do not make ${blocks} blocks`)
    const edge = (v: number): number => Math.floor(v * size / blocks)
    return Array.from({ length: blocks }, (_, v) => Array.from({ length: edge(v + 1) - edge(v) }, (_, i) => edge(v) + i))
  }
  const foreign = blocks.flat().find(column => column >= size)
  if (foreign !== undefined) throw new InvalidParametersError(`method.blocks: the input has ${size} columns, there is no column ${foreign}`)
  return blocks
}

export function encoderName (block: number): string { return `encoder/${block}` }

/** 'columns' [B, P] to 'features' [B, width]. */
export function encoderGraph (columns: number, width: number): Graph {
  const g = new GraphBuilder()
  g.output('features', encode(g, '', g.input('columns', ['B', columns]), columns, width))
  return g.build()
}

/** 'block<v>' [B, width] each to 'hidden' [B, units]. @param of - blocks that there are in all */
export function fusionGraph (blocks: readonly number[], of: number, width: number, units: number): Graph {
  const g = new GraphBuilder()
  g.output('hidden', fuse(g, '', new Map(blocks.map(v => [v, g.input(`block${v}`, ['B', width])])), of, width, units))
  return g.build()
}

/** 'hidden' [B, units] to 'prediction' [B, positions, channels]. */
export function readoutGraph (task: TaskSpec, units: number): Graph {
  const g = new GraphBuilder()
  g.output('prediction', readOut(g, '', g.input('hidden', ['B', units]), task, units))
  return g.build()
}

/** Unit name -> graph of a model on these blocks, in the order in which `blockModel` has their parameters. */
export function blockUnits (columns: ReadonlyArray<readonly number[]>, held: readonly number[], tasks: readonly TaskSpec[], { width, hidden }: BackboneSpec): ReadonlyMap<string, Graph> {
  return new Map([
    ...held.map(v => [encoderName(v), encoderGraph((columns[v] as number[]).length, width)] as const),
    ['fusion', fusionGraph(held, columns.length, width, hidden)] as const,
    ...tasks.map(task => [`head/${task.id}`, readoutGraph(task, hidden)] as const)
  ])
}

/** All units as one graph: 'block<v>' [B, P] each to an output per task. */
export function blockModel (columns: ReadonlyArray<readonly number[]>, held: readonly number[], tasks: readonly TaskSpec[], { width, hidden }: BackboneSpec): Graph {
  const g = new GraphBuilder()
  const features = new Map(held.map(v => {
    const { length } = columns[v] as number[]
    return [v, encode(g, `${encoderName(v)}:`, g.input(`block${v}`, ['B', length]), length, width)]
  }))
  const units = fuse(g, 'fusion:', features, columns.length, width, hidden)
  for (const task of tasks) g.output(task.id, readOut(g, `head/${task.id}:`, units, task, hidden))
  return g.build()
}

function encode (g: GraphBuilder, prefix: string, x: number, columns: number, width: number): number {
  return g.gelu(linear(g, x, `${prefix}encoder`, columns, width, Math.sqrt(2 / columns)))
}

function fuse (g: GraphBuilder, prefix: string, features: ReadonlyMap<number, number>, of: number, width: number, units: number): number {
  let sum: number | undefined
  for (const [v, x] of features) {
    const part = g.matMul(x, g.parameter(`${prefix}block${v}`, [units, width], { deviation: Math.sqrt(2 / (of * width)) }), { transposeB: true })
    sum = sum === undefined ? part : g.add(sum, part)
  }
  return g.gelu(g.add(sum as number, g.parameter(`${prefix}bias`, [units], { value: 0 })))
}

function readOut (g: GraphBuilder, prefix: string, hidden: number, { positions, channels }: TaskSpec, units: number): number {
  const outputs = elements(positions) * channels
  return g.reshape(linear(g, hidden, `${prefix}readout`, units, outputs, 0.5 * units ** -0.5), ['B', elements(positions), channels])
}
