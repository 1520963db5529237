/**
 * How the rows of a pass are shared out among lanes. Every lane gets its share of every group, so a group's gradient is the
 * sum over lanes however many groups travel together; and the number of lanes follows from the sizes alone, not from the
 * machine's cores, so that equal seeds give equal bits on unequal machines.
 */
import { resolveShape } from '../../graph/graph.ts'
import { elements } from '../../tensor/tensor.ts'
import type { Program } from '../../graph/gradients.ts'
import type { Node } from '../../graph/graph.ts'
import type { TensorData } from '../../tensor/tensor.ts'

/** Lanes of a pass that is shared out. */
export const LANES = 2

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

/** One call of a pass. */
export interface Lane {
  /** Prefix of what belongs to it. */
  readonly scope: string
  /** Its rows of each group, from which one on and how many; all that there is, where absent. */
  readonly share?: { readonly from: number, readonly rows: number }
}

/** Prefixes of the calls that a pass in so many lanes makes. */
export function scopesOf (lanes: number): readonly string[] { return lanes === 1 ? ['whole'] : Array.from({ length: lanes }, (_, lane) => `lane${lane}`) }

/** How passes of this program are shared out, by the sizes of the whole pass. */
export function sharingOf (program: Program): (sizes: ReadonlyMap<string, number>) => readonly Lane[] {
  const whole = scopesOf(1).map(scope => ({ scope }))
  if (!isRowwise(program)) return () => whole
  const { graph, nodes } = program
  const [first] = [...graph.inputs.values()]
  const positions = (nodes[first as number] as Node).shape.slice(0, -1)
  return sizes => {
    const groups = sizes.get('G') ?? 1
    const rows = sizes.get('B') as number / groups
    if (rows < LANES || elements(resolveShape(positions, sizes)) / groups * graph.parameterCount < WORTH) return whole
    const start = (lane: number): number => Math.floor(rows * lane / LANES)
    return scopesOf(LANES).map((scope, lane) => ({ scope, share: { from: start(lane), rows: start(lane + 1) - start(lane) } }))
  }
}

/** One lane's rows of every group; a view where they lie together. */
export function takeShare (whole: TensorData, groups: number, { share }: Lane): TensorData {
  if (share === undefined) return whole
  const { shape: [rows, ...rest], data } = whole as { shape: readonly [number, ...number[]], data: Float32Array }
  const size = elements(rest)
  const part = (group: number): Float32Array => {
    const start = (group * rows / groups + share.from) * size
    return data.subarray(start, start + share.rows * size)
  }
  const shape = [groups * share.rows, ...rest]
  if (groups === 1) return { shape, data: part(0) }
  const joined = new Float32Array(elements(shape))
  for (let group = 0; group < groups; group++) joined.set(part(group), group * share.rows * size)
  return { shape, data: joined }
}

/** The inverse of `takeShare` over all lanes. */
export function joinShares (parts: readonly TensorData[], groups: number, lanes: readonly Lane[]): TensorData {
  const [first] = parts as [TensorData]
  if (parts.length === 1) return first
  const rest = first.shape.slice(1)
  const size = elements(rest)
  const rows = parts.reduce((sum, { shape }) => sum + (shape[0] as number), 0)
  const data = new Float32Array(rows * size)
  for (const [lane, { share }] of lanes.entries()) {
    if (share === undefined) continue
    const { data: part } = parts[lane] as TensorData
    for (let group = 0; group < groups; group++) data.set(part.subarray(group * share.rows * size, (group + 1) * share.rows * size), (group * rows / groups + share.from) * size)
  }
  return { shape: [rows, ...rest], data }
}
