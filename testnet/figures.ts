/** Sums and means of what may be missing: a number that does not exist is null, never 0. */

export function sum (values: readonly number[]): number { return values.reduce((total, value) => total + value, 0) }

export function meanOf (values: readonly number[]): number { return sum(values) / values.length }

export function mean (values: ReadonlyArray<{ value: number | null, weight: number }>): number | null {
  const known = values.filter(({ value, weight }) => value !== null && weight > 0)
  const total = sum(known.map(({ weight }) => weight))
  return total === 0 ? null : sum(known.map(({ value, weight }) => (value as number) * weight)) / total
}

/** NaN becomes null on its way through JSON; here it does too. */
export function finite (value: number | null | undefined): number | null {
  return value != null && Number.isFinite(value) ? value : null
}
