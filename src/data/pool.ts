/** Rows of several places as one set of rows: of a site's splits, or in yardsticks of several sites. */
import { elements } from '../tensor/tensor.ts'
import type { ClientData, InputSpec, Rows } from './dataset.ts'
import type { TaskSpec } from '../tasks/task.ts'

/** One after the other; all have the same tasks. */
export function concatRows (parts: readonly Rows[]): Rows {
  const [first] = parts
  return {
    count: parts.reduce((sum, { count }) => sum + count, 0),
    x: concatFloats(parts.map(({ x }) => x)),
    y: Object.fromEntries(Object.keys(first?.y ?? {}).map(id => [id, concatFloats(parts.map(({ y }) => y[id] as Float32Array))])),
    source: Int32Array.from(parts.flatMap(({ source }) => [...source]))
  }
}

/** Some of the rows, in the order asked for. */
export function pickRows (rows: Rows, wanted: readonly number[]): Rows {
  const pick = (values: Float32Array): Float32Array => {
    const size = values.length / rows.count
    return concatFloats(wanted.map(row => values.subarray(row * size, (row + 1) * size)))
  }
  return {
    count: wanted.length,
    x: pick(rows.x),
    y: Object.fromEntries(Object.entries(rows.y).map(([id, values]) => [id, pick(values)])),
    source: Int32Array.from(wanted, row => rows.source[row] as number)
  }
}

/** The same rows with those of the hold-out among those to train on, in the order of their source. */
export function withoutHoldout ({ train, holdout, ...rest }: ClientData): ClientData {
  const rows = concatRows([train, holdout])
  const order = [...rows.source.keys()].sort((a, b) => (rows.source[a] as number) - (rows.source[b] as number))
  return { ...rest, train: pickRows(rows, order), holdout: pickRows(rows, []), before: { train, holdout } }
}

/** All sites as one, with all of their tasks: a row has no label for a task that its site does not have. */
export function pooledSites (id: string, input: InputSpec, tasks: readonly TaskSpec[], sites: readonly ClientData[]): ClientData {
  const pool = (split: 'train' | 'holdout' | 'test'): Rows => concatRows(sites.map(site => labelled(site[split], tasks)))
  return { id, input, tasks, train: pool('train'), holdout: pool('holdout'), test: pool('test') }
}

/** The same rows with every one of these tasks: without labels where they have none. */
export function labelled (rows: Rows, tasks: readonly TaskSpec[]): Rows {
  return { ...rows, y: Object.fromEntries(tasks.map(task => [task.id, rows.y[task.id] ?? unlabelled(task, rows.count)])) }
}

/** A direction says by its third number that there is none, everything else by NaN. */
function unlabelled ({ kind, targets, positions }: TaskSpec, count: number): Float32Array {
  const missing = kind.endsWith('direction') && targets === 3 ? 0 : Number.NaN
  return new Float32Array(count * elements(positions) * targets).fill(missing)
}

function concatFloats (parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}
