/**
 * How FlexMod shares a budget of local steps among a site's encoders. The paper (arXiv 2408.06549) has prototypes for an encoder's
 * quality, Shapley values for its importance and a learned policy; its code is not public and these formulas are this project's:
 *
 *     need_m   mean over rows of -log softmax_c(-|z - prototype_c|^2) at the row's class
 *     phi_m    Shapley value of block m: of the score on hold-out rows with the blocks outside a set at their mean
 *     share_m  max(phi_m, 0) need_m, over their sum; alike where all are 0
 *     steps    by largest remainder, at least 1 each
 */

/** All that a policy may look at. */
export interface AllocationState {
  readonly budget: number
  /** By block. */
  readonly shapley: readonly number[]
  readonly need: readonly number[]
  readonly step: number
}

/** Steps of each block, which sum to the budget. A learned policy is one more of these, and one line in ALLOCATIONS. */
export type Allocate = (state: AllocationState) => readonly number[]

const byShapley: Allocate = ({ budget, shapley, need }) => largestRemainder(shares(shapley, need), budget)

const uniform: Allocate = ({ budget, need: { length } }) => largestRemainder(new Array<number>(length).fill(1 / length), budget)

export const ALLOCATIONS = { shapley: byShapley, uniform } as const
export type AllocationName = keyof typeof ALLOCATIONS

/**
 * Exact Shapley values of a set function.
 * @param values - value of every subset; member i is in subset s where bit i of s is 1
 */
export function shapleyValues (values: readonly number[]): number[] {
  const members = Math.log2(values.length)
  /** Share of the orders in which a member comes right after a set of this size. */
  const weights = Array.from({ length: members }, (_, size) => factorial(size) * factorial(members - size - 1) / factorial(members))
  return Array.from({ length: members }, (_, i) => values.reduce((sum, value, subset) =>
    (subset >> i) % 2 === 1 ? sum : sum + (weights[bits(subset)] as number) * ((values[subset + 2 ** i] as number) - value), 0))
}

function factorial (n: number): number { return n <= 1 ? 1 : n * factorial(n - 1) }

function bits (n: number): number { return n === 0 ? 0 : n % 2 + bits(Math.floor(n / 2)) }

/** Sums of features per class, [classes, size] flat, and rows of each. Rows without a label count nowhere. */
export function classSums (features: ArrayLike<number>, labels: ArrayLike<number>, classes: number): { sums: Float64Array, counts: number[] } {
  const size = features.length / labels.length
  const sums = new Float64Array(classes * size)
  const counts = new Array<number>(classes).fill(0)
  for (let row = 0; row < labels.length; row++) {
    const label = labels[row] as number
    if (!(label >= 0)) continue
    counts[label] = (counts[label] as number) + 1
    for (let i = 0; i < size; i++) sums[label * size + i] = (sums[label * size + i] as number) + (features[row * size + i] as number)
  }
  return { sums, counts }
}

/** Of all classes: undefined where nobody has a row. */
export type Prototypes = ReadonlyArray<ArrayLike<number> | undefined>

/** Class means by sums and counts, which may both be shares of them. */
export function prototypesOf (sums: ArrayLike<number>, counts: ArrayLike<number>): Prototypes {
  const size = sums.length / counts.length
  return Array.from(counts, (count, c) => count > 0 ? Float64Array.from({ length: size }, (_, i) => (sums[c * size + i] as number) / count) : undefined)
}

/** Mean over the rows whose class has a prototype; 0 where there is no such row. */
export function prototypeLoss (features: ArrayLike<number>, labels: ArrayLike<number>, prototypes: Prototypes): number {
  const size = features.length / labels.length
  let [sum, rows] = [0, 0]
  for (let row = 0; row < labels.length; row++) {
    if (prototypes[labels[row] as number] === undefined) continue
    const nearness = prototypes.map(prototype => {
      if (prototype === undefined) return -Infinity
      let squares = 0
      for (let i = 0; i < size; i++) squares += ((features[row * size + i] as number) - (prototype[i] as number)) ** 2
      return -squares
    })
    const top = Math.max(...nearness)
    sum += top + Math.log(nearness.reduce((total, value) => total + Math.exp(value - top), 0)) - (nearness[labels[row] as number] as number)
    rows++
  }
  return rows === 0 ? 0 : sum / rows
}

export function shares (shapley: readonly number[], need: readonly number[]): number[] {
  const scores = shapley.map((phi, m) => Math.max(phi, 0) * (need[m] as number))
  const sum = scores.reduce((a, b) => a + b, 0)
  return scores.map(score => sum > 0 ? score / sum : 1 / scores.length)
}

/** Whole numbers that sum to the budget, at least 1 each: floors, then one more by the largest remainder; ties to the lower index. */
export function largestRemainder (shares: readonly number[], budget: number): number[] {
  const raw = shares.map(share => share * budget)
  const steps = raw.map(Math.floor)
  const order = raw.map((_, m) => m).sort((a, b) => ((raw[b] as number) % 1) - ((raw[a] as number) % 1) || a - b)
  for (const m of order.slice(0, budget - steps.reduce((a, b) => a + b, 0))) steps[m] = (steps[m] as number) + 1
  for (let poor = steps.indexOf(0); poor >= 0; poor = steps.indexOf(0)) {
    const rich = steps.indexOf(Math.max(...steps))
    steps[rich] = (steps[rich] as number) - 1
    steps[poor] = 1
  }
  return steps
}
