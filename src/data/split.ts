/**
 * Draws over row numbers: how many rows to keep, which become the hold-out, which the test rows. All are pure
 * functions of their arguments and a `Random`; the rows returned are disjoint and leave none out.
 */
import type { Random } from '../random.ts'

export interface ShareInit {
  readonly random: Random
  /** Rows of one stratum keep their share on both sides, as far as whole rows allow. */
  readonly stratum?: ((row: number) => string) | undefined
  /** Rows of one unit (a patient, an hour) stay together. */
  readonly unit?: ((row: number) => string) | undefined
}

export interface Split {
  /** The drawn share. */
  readonly taken: number[]
  readonly rest: number[]
}

/** How many of `n` rows a share is: rounded, but never none and never all when there are two rows. */
export function shareOf (n: number, share: number): number {
  if (share <= 0 || n < 2) return 0
  return Math.min(n - 1, Math.max(1, Math.round(share * n)))
}

/** Takes a share of 0..n-1 by chance, stratified and in whole units where asked. Both sides are in rising order. */
export function takeShare (n: number, share: number, { random, stratum, unit }: ShareInit): Split {
  const units = new Map<string, number[]>()
  for (let row = 0; row < n; row++) push(units, unit === undefined ? String(row) : unit(row), row)
  const strata = new Map<string, number[][]>()
  for (const rows of units.values()) push(strata, stratum === undefined ? '' : stratum(rows[0] as number), rows)

  const wanted = shareOf(n, share)
  const taken = new Set<number>()
  // strata in a fixed order; the running total carries each one's rounding over to the next
  let passed = 0
  for (const [, members] of [...strata].sort(([a], [b]) => a < b ? -1 : 1)) {
    passed += members.reduce((sum, rows) => sum + rows.length, 0)
    const goal = Math.round(wanted * passed / n)
    for (const i of random.permutation(members.length)) {
      if (taken.size >= goal) break
      const rows = members[i] as number[]
      const after = taken.size + rows.length
      // a large unit is passed over where leaving it out comes closer
      if (after < n && (after - goal <= goal - taken.size || taken.size === 0)) for (const row of rows) taken.add(row)
    }
  }
  return sides(n, taken)
}

/** The last share of 0..n-1 in the order of `key`: numbers by size when all are, else text by code unit. */
export function takeLast (n: number, share: number, key: (row: number) => string): Split {
  const keys = Array.from({ length: n }, (_, row) => key(row))
  const numeric = keys.every((k) => k !== '' && Number.isFinite(Number(k)))
  const order = Array.from({ length: n }, (_, row) => row).sort((a, b) => {
    const [x, y] = [keys[a] as string, keys[b] as string]
    const difference = numeric ? Number(x) - Number(y) : x < y ? -1 : x > y ? 1 : 0
    return difference === 0 ? a - b : difference
  })
  return sides(n, new Set(order.slice(n - shareOf(n, share))))
}

/**
 * Draws `wanted` of 0..n-1. With `balance` the groups take turns, so that each gives as many as it can up to an
 * equal part. Rising order.
 */
export function drawRows (n: number, wanted: number, random: Random, balance?: (row: number) => string): number[] {
  const order = random.permutation(n)
  if (balance === undefined) return order.slice(0, wanted).sort(rising)
  const groups = new Map<string, number[]>()
  for (const row of order) push(groups, balance(row), row)
  const queues = [...groups].sort(([a], [b]) => a < b ? -1 : 1).map(([, rows]) => rows)
  const drawn: number[] = []
  for (let turn = 0; drawn.length < Math.min(wanted, n); turn++) {
    for (const i of random.permutation(queues.length)) {
      const row = queues[i]?.[turn]
      if (row !== undefined && drawn.length < wanted) drawn.push(row)
    }
  }
  return drawn.sort(rising)
}

function sides (n: number, taken: ReadonlySet<number>): Split {
  const rest: number[] = []
  for (let row = 0; row < n; row++) if (!taken.has(row)) rest.push(row)
  return { taken: [...taken].sort(rising), rest }
}

function rising (a: number, b: number): number { return a - b }

function push<T> (map: Map<string, T[]>, key: string, value: T): void {
  const list = map.get(key)
  if (list === undefined) map.set(key, [value])
  else list.push(value)
}
