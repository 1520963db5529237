/**
 * How the rows of a pass are shared out among lanes. Every lane gets its share of every group, so a group's gradient is the
 * sum over lanes however many groups travel together; and the number of lanes follows from the sizes alone, not from the
 * machine's cores, so that equal seeds give equal bits on unequal machines.
 */
import { resolveShape } from '../../graph/graph.ts'
import { LANES } from './calls.ts'
import type { Program } from '../../graph/gradients.ts'
import type { Node } from '../../graph/graph.ts'
import type { TensorData } from '../../tensor/tensor.ts'

/** Positions (rows x tokens) of a group, times parameters, from which two lanes are faster than one: below, calling twice costs more. */
const WORTH = 2 ** 27

/** Whether each row's results follow from that row alone, so that a pass over some rows is a part of a pass over all. */
function isRowwise ({ graph, nodes, forwardCount }: Program): boolean {
  const leads = (id: number): boolean => (nodes[id] as Node).shape[0] === 'B'
  return graph.inputs.size > 0 && [...graph.inputs.values(), ...graph.outputs.values()].every(leads) && nodes.slice(0, forwardCount).every(({ op, shape }) => {
    if (op.kind === 'sum') return op.from > 0
    return op.kind !== 'matMul' || !op.transposeA || shape.length > 2
  })
}

/** Rows of each group that a lane has. */
export interface Share { readonly from: number, readonly rows: number }

/**
 * One share is the whole pass, whatever its inputs look like.
 * @param sizes - of the whole pass
 */
export function sharesOf (program: Program, sizes: ReadonlyMap<string, number>): readonly Share[] {
  const rows = (sizes.get('B') ?? 0) / (sizes.get('G') ?? 1)
  const lanes = isRowwise(program) ? lanesFor(program, sizes, rows) : 1
  const start = (lane: number): number => Math.floor(rows * lane / lanes)
  return Array.from({ length: lanes }, (_, lane) => ({ from: start(lane), rows: start(lane + 1) - start(lane) }))
}

function lanesFor ({ graph, nodes }: Program, sizes: ReadonlyMap<string, number>, rowsPerGroup: number): number {
  const [first] = [...graph.inputs.values()]
  const positions = resolveShape((nodes[first as number] as Node).shape.slice(0, -1), sizes).reduce((product, dim) => product * dim, 1)
  return rowsPerGroup >= LANES && positions / (sizes.get('G') ?? 1) * graph.parameterCount >= WORTH ? LANES : 1
}

/** One of several lanes' rows of every group; a view where they lie together. */
export function takeShare ({ shape, data }: TensorData, groups: number, { from, rows }: Share): TensorData {
  const perGroup = shape[0] as number / groups
  const size = data.length / (shape[0] as number)
  const taken = [groups * rows, ...shape.slice(1)]
  const part = (group: number): Float32Array => data.subarray((group * perGroup + from) * size, (group * perGroup + from + rows) * size)
  if (groups === 1) return { shape: taken, data: part(0) }
  const joined = new Float32Array(groups * rows * size)
  for (let group = 0; group < groups; group++) joined.set(part(group), group * rows * size)
  return { shape: taken, data: joined }
}

/** The inverse of `takeShare` over all lanes. */
export function joinShares (parts: readonly TensorData[], groups: number, shares: readonly Share[]): TensorData {
  const [{ shape: [, ...rest] }] = parts as [TensorData]
  const size = rest.reduce((product, dim) => product * dim, 1)
  const perGroup = shares.reduce((sum, { rows }) => sum + rows, 0)
  const data = new Float32Array(groups * perGroup * size)
  for (const [lane, { from, rows }] of shares.entries()) {
    const { data: part } = parts[lane] as TensorData
    for (let group = 0; group < groups; group++) data.set(part.subarray(group * rows * size, (group + 1) * rows * size), (group * perGroup + from) * size)
  }
  return { shape: [groups * perGroup, ...rest], data }
}
