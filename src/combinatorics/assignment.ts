/**
 * The assignment problem: each row gets a column of its own so that the sum of costs is least (Hungarian algorithm, Kuhn 1955,
 * Munkres 1957). Rectangular; which of several best assignments it is follows from the costs alone.
 */
import munkres from 'munkres'
import { InvalidParametersError } from '../errors.ts'

/**
 * @param costs - no more rows than columns
 * @returns the column of each row
 * @throws {InvalidParametersError} more rows than columns, rows of different lengths, or a cost that is not a number
 */
export function assign (costs: ReadonlyArray<ArrayLike<number>>): number[] {
  const width = costs[0]?.length ?? 0
  if (costs.some(row => row.length !== width) || costs.length > width) throw new InvalidParametersError(`assignment: ${costs.length} rows cannot have one each of ${width} columns`)
  if (costs.some(row => !Array.from(row).every(Number.isFinite))) throw new InvalidParametersError('assignment: a cost is not a finite number')
  const columns = new Array<number>(costs.length)
  // The solver keeps nothing of what it is given, but it is not promised: it gets a copy.
  for (const [row, column] of munkres(costs.map(row => Array.from(row)))) columns[row] = column
  return columns
}
