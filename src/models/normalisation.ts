/**
 * Which parameters of a part belong to a normalisation. Decided by what the graph does with them, not by their names: a
 * gain multiplies something standardised, a bias is added to that product.
 */
import type { Graph } from '../graph/graph.ts'

/** A stretch of a part's flat parameter vector. */
export interface Stretch {
  readonly offset: number
  readonly size: number
}

export function normalisationsOf ({ nodes, parameters }: Graph): readonly Stretch[] {
  const found = new Set<string>()
  const scaled = new Set<number>()
  for (const { id, op, inputs: [a, b] } of nodes) {
    const [left, right] = [nodes[a as number], nodes[b as number]]
    if (left === undefined || right?.op.kind !== 'parameter') continue
    const gain = op.kind === 'mul' && left.op.kind === 'standardise'
    if (gain) scaled.add(id)
    if (gain || (op.kind === 'add' && scaled.has(left.id))) found.add(right.op.name)
  }
  return parameters.filter(({ name }) => found.has(name)).map(({ offset, size }) => ({ offset, size }))
}
