/**
 * Every operation of src/graph in a graph of its own, in the sizes at which kernels differ. A new operation takes a row here
 * and a case in ../helpers/interpreter.ts.
 */
import { layer } from '../helpers/parts.ts'
import type { Graph, GraphBuilder } from '../../src/graph/graph.ts'

export interface OperationCase {
  readonly id: string
  /** One output, 'out'. */
  readonly graph: Graph
  /** Whether the gradient of every input is wanted. Default true. */
  readonly gradients?: boolean
  /** Shapes of the inputs, by name; one pass each. */
  readonly passes: ReadonlyArray<Readonly<Record<string, readonly number[]>>>
}

const FLAGS = [false, true]

/** Rows x inner x columns, with each operand as it is and transposed. */
function matMul (id: string, [rows, inner, columns]: readonly [number, number, number], batch: readonly number[] = []): OperationCase[] {
  return FLAGS.flatMap(transposeA => FLAGS.map((transposeB): OperationCase => {
    const a = [...batch, ...transposeA ? [inner, rows] : [rows, inner]]
    const b = [...batch, ...transposeB ? [columns, inner] : [inner, columns]]
    const graph = layer(g => g.matMul(g.input('a', a), g.input('b', b), { transposeA, transposeB }))
    return { id: `${id}: ${transposeA ? 'a^T' : 'a'} ${transposeB ? 'b^T' : 'b'}`, graph, passes: [{ a, b }] }
  }))
}

/** One input [B, ...shape], with 1 and 5 rows. */
function unary (id: string, shape: readonly number[], build: (g: GraphBuilder, x: number) => number): OperationCase {
  return { id, graph: layer(g => build(g, g.input('x', ['B', ...shape]))), passes: [1, 5].map(rows => ({ x: [rows, ...shape] })) }
}

/** Two inputs, the second without the leading axes of the first that `missing` counts. */
function binary (kind: 'add' | 'sub' | 'mul', missing: number): OperationCase {
  const shape = [4, 3, 6]
  const graph = layer(g => g[kind](g.input('a', shape), g.input('b', shape.slice(missing))))
  return { id: `${kind}, ${missing === 0 ? 'same shape' : `over ${missing} leading axes`}`, graph, passes: [{ a: shape, b: shape.slice(missing) }] }
}

/** Keys that every query sees less of, as each row says; the mask has no gradient. */
function masked (): OperationCase {
  const graph = layer(g => g.maskKeys(g.mul(g.input('a', ['B', 2, 5, 5]), g.parameter('gain', [5], { deviation: 1 })), g.input('mask', ['B', 5])))
  return { id: 'maskKeys', graph, gradients: false, passes: [1, 3].map(rows => ({ a: [rows, 2, 5, 5], mask: [rows, 5] })) }
}

/** It is the gradient of a vector that was added to rows, over axis 1 within each group of them; it has none itself. */
function sums (): OperationCase[] {
  const cases = [
    { from: 0, axes: 1, shapes: [[1, 7], [5, 7]] },
    { from: 0, axes: 2, shapes: [[5, 3, 7]] },
    { from: 0, axes: 1, shapes: [[1537, 5]] },
    { from: 1, axes: 1, shapes: [[1, 4, 7], [3, 4, 7]] },
    { from: 1, axes: 2, shapes: [[3, 5, 2, 7]] },
    { from: 1, axes: 1, shapes: [[2, 1537, 5]] }
  ]
  return cases.map(({ from, axes, shapes }) => ({
    id: `sum of ${shapes.map(shape => shape.join(' x ')).join(' and ')} over ${axes} from axis ${from}`,
    graph: layer(g => g.sum(g.input('x', ['B', ...(shapes[0] as number[]).slice(1)]), from, axes)),
    gradients: false,
    passes: shapes.map(x => ({ x }))
  }))
}

export const OPERATIONS: readonly OperationCase[] = [
  // Backends choose kernels by size: few outputs, one tile or some, many tiles (whole vectors of four or not), a long inner axis.
  ...matMul('matMul', [3, 5, 4]),
  ...matMul('matMul, uneven', [33, 20, 17]),
  ...matMul('matMul, many tiles', [96, 36, 96]),
  ...matMul('matMul, many uneven tiles', [97, 13, 99]),
  ...matMul('matMul, long inner axis', [12, 2004, 12]),
  ...matMul('matMul, batched', [3, 5, 4], [7]),
  ...matMul('matMul, batched twice', [16, 8, 16], [3, 2]),
  ...[0, 1, 2].flatMap(missing => (['add', 'sub', 'mul'] as const).map(kind => binary(kind, missing))),
  unary('mul of a tensor with itself', [4], (g, x) => g.mul(x, x)),
  unary('scale', [4], (g, x) => g.scale(x, -1.75)),
  unary('reshape', [6, 4], (g, x) => g.reshape(x, ['B*6', 2, 2])),
  unary('transpose, two axes', [5], (g, x) => g.transpose(x, [1, 0])),
  unary('transpose, heads out of rows', [3, 2, 4], (g, x) => g.transpose(x, [0, 2, 1, 3])),
  unary('transpose, all axes round', [3, 4], (g, x) => g.transpose(x, [2, 0, 1])),
  ...sums(),
  unary('pad, before and after', [3, 4], (g, x) => g.pad(x, 1, { before: 2, after: 1 })),
  unary('pad, the last axis', [3, 4], (g, x) => g.pad(x, 2, { after: 3 })),
  unary('slice', [5, 4], (g, x) => g.slice(x, 1, 1, 3)),
  unary('slice, the last axis from its end', [5, 4], (g, x) => g.slice(x, 2, 2, 2)),
  unary('standardise', [48], (g, x) => g.standardise(x, 1e-5)),
  unary('standardise, uneven', [3, 7], (g, x) => g.standardise(x, 1e-5)),
  unary('softmax', [16], (g, x) => g.softmax(x)),
  unary('softmax, batched, of large numbers', [3, 7], (g, x) => g.softmax(g.scale(x, 4))),
  ...(['sigmoid', 'erf', 'tanh'] as const).flatMap(form => [
    unary(`gelu by ${form}, which is geluGate times its input`, [6], (g, x) => g.gelu(x, form)),
    unary(`gelu by ${form}, far from zero`, [64], (g, x) => g.gelu(g.scale(x, 30), form))
  ]),
  { ...unary('oneHot, which cuts off what is behind the point', [6], (g, x) => g.oneHot(g.scale(g.mul(x, x), 2), 64)), gradients: false },
  masked(),
  unary('tanh', [6], (g, x) => g.tanh(x)),
  unary('tanh, far from zero', [64], (g, x) => g.tanh(g.scale(x, 30))),
  {
    id: 'a value used three times, and parameters of one to three axes',
    graph: layer(g => {
      const x = g.input('x', ['B', 3, 4])
      const flat = g.reshape(x, ['B*3', 4])
      const mixed = g.add(g.matMul(flat, g.parameter('weight', [4, 4], { deviation: 1 })), g.parameter('bias', [4], { deviation: 1 }))
      const placed = g.add(g.reshape(g.mul(mixed, flat), ['B', 3, 4]), g.parameter('place', [3, 4], { deviation: 1 }))
      return g.add(g.mul(placed, g.reshape(g.parameter('gain', [1, 3, 4], { deviation: 1 }), [3, 4])), x)
    }),
    passes: [{ x: [2, 3, 4] }, { x: [1, 3, 4] }]
  }
]
