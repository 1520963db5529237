/** How much a step on one task helps another: row = the task that steps (source), column = the task that is watched (target). */
import { InvalidParametersError } from '../errors.ts'

/** n rows of n numbers; above 0 the source helps the target. NaN: not measured. The diagonal is a task's help to itself, which decides nothing. */
export type Affinity = ReadonlyArray<readonly number[]>

export function cell (affinity: Affinity, source: number, target: number): number {
  return affinity[source]?.[target] ?? Number.NaN
}

/** A square matrix, cell by cell. */
export function matrixOf (size: number, value: (source: number, target: number) => number): number[][] {
  return Array.from({ length: size }, (_, source) => Array.from({ length: size }, (_, target) => value(source, target)))
}

/** @throws {InvalidParametersError} no tasks, or not a square */
export function expectSquare (affinity: Affinity): void {
  const { length } = affinity
  if (length === 0 || affinity.some(row => row.length !== length)) {
    throw new InvalidParametersError(`an affinity has one row and one column per task, got rows of ${affinity.map(row => row.length).join(', ') || 'nothing'}`)
  }
}
