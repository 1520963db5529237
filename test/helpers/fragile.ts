/**
 * Rows with one robust input and nineteen fragile ones (Tsipras et al., arXiv 1805.12152): the robust one is large and tells the
 * class in 85 of 100 rows; each of the others leans to the class by half a deviation, less than an attack of .55 moves it.
 */
import { Random } from '../../src/random.ts'
import type { ClientData, InputSpec, Rows } from '../../src/data/dataset.ts'
import type { TaskSpec } from '../../src/tasks/task.ts'

export const FRAGILE_EPSILON = 0.55
export const FRAGILE_INPUT: InputSpec = { modality: 'table', shape: [20] }
export const SIGN: TaskSpec = { id: 'sign', kind: 'classes', channels: 2, targets: 1, positions: [1], metric: 'accuracy' }

export function fragileRows (random: Random, count: number, shift: ArrayLike<number> = new Float32Array(20)): Rows {
  const x = new Float32Array(20 * count)
  const sign = new Float32Array(count)
  for (let row = 0; row < count; row++) {
    const label = sign[row] = random.int(2)
    const side = 2 * label - 1
    for (let i = 0; i < 20; i++) x[20 * row + i] = random.normal() + 0.55 * side + (shift[i] as number)
    x[20 * row] = 2 * side * (random.next() < 0.85 ? 1 : -1) + 0.1 * random.normal() + (shift[0] as number)
  }
  return { count, x, y: { sign }, source: Int32Array.from({ length: count }, (_, i) => i) }
}

export function fragileSite (id: string, seed: number, [train, holdout, test]: readonly [number, number, number], shift?: ArrayLike<number>): ClientData {
  const random = new Random(seed)
  const [trainRows, holdoutRows, testRows] = [train, holdout, test].map(count => fragileRows(random, count, shift)) as [Rows, Rows, Rows]
  return { id, input: FRAGILE_INPUT, tasks: [SIGN], train: trainRows, holdout: holdoutRows, test: testRows }
}
