/**
 * The arithmetic of co-training by pseudo-labels, on one task and one public set:
 *
 *     propose   row s for class c   where a site's first and second probability are further apart than the margin
 *     accept    (s, c)              where of the sites that know class c more than the threshold proposed it
 *     take      (s, c)              at a site, where c is the only one of its classes that s was accepted for
 *     weigh     class c by 1 / rows of it, local and taken; the largest weight is 1
 *
 * or, for two classes, the form of the paper's census experiment: every site labels every row, class 1 where more than half say so.
 * Source: Cao et al., CoFED, arXiv 2202.08603, and its released code.
 */

/** No label. */
export const NONE = -1

export interface Ballot {
  /** Per public row a class of the task, or NONE. */
  readonly labels: ArrayLike<number>
  /** Classes that the site knows. */
  readonly classes: Iterable<number>
  readonly weight: number
}

/**
 * @param probabilities - [rows, classes] of the site's own classes
 * @param classes - what each column stands for
 * @param margin - negative: every row is proposed
 */
export function propose (probabilities: ArrayLike<number>, classes: readonly number[], margin: number): Float32Array {
  const width = classes.length
  const labels = new Float32Array(width === 0 ? 0 : probabilities.length / width).fill(NONE)
  if (width < 2) return labels // who knows one class takes everything for it
  for (let row = 0; row < labels.length; row++) {
    let [best, second] = [-1, -Infinity]
    let top = -Infinity
    for (let c = 0; c < width; c++) {
      const value = probabilities[row * width + c] as number
      if (value > top) [second, top, best] = [top, value, c]
      else second = Math.max(second, value)
    }
    if (top - second > margin) labels[row] = classes[best] as number
  }
  return labels
}

/** What sites said, summed: per row and class the weight of who proposed it, then per class the weight of who knows it. */
export function tally (ballots: readonly Ballot[], rows: number, channels: number): Float32Array {
  const votes = new Float32Array(rows * channels + channels)
  const add = (at: number, weight: number): void => { votes[at] = (votes[at] as number) + weight }
  for (const { labels, classes, weight } of ballots) {
    for (const c of classes) add(rows * channels + c, weight)
    for (let row = 0; row < rows; row++) if ((labels[row] as number) >= 0) add(row * channels + (labels[row] as number), weight)
  }
  return votes
}

/** Whether a row is accepted for a class. */
export type Accepted = (row: number, c: number) => boolean

/** By what `tally` gave. The comparison is strict: a threshold of 1 accepts nothing. */
export function accept (votes: Float32Array, channels: number, threshold: number): Accepted {
  const known = votes.subarray(votes.length - channels)
  return (row, c) => (known[c] as number) > 0 && (votes[row * channels + c] as number) / (known[c] as number) > threshold
}

/** Two classes: the one that more than half of the votes are for, and class 0 where neither has more. Rows without votes have none. */
export function majority (votes: Float32Array): Accepted {
  return (row, c) => {
    const [no, yes] = [votes[row * 2] as number, votes[row * 2 + 1] as number]
    return no + yes > 0 && (yes / (no + yes) > 0.5 ? 1 : 0) === c
  }
}

/** Per row the class that a site with these classes takes it for, or NONE. */
export function take (accepted: Accepted, rows: number, classes: readonly number[]): Float32Array {
  return Float32Array.from({ length: rows }, (_, row) => {
    const claims = classes.filter(c => accepted(row, c))
    return claims.length === 1 ? claims[0] as number : NONE
  })
}

/** Weight per class; 0 for a class without rows. */
export function classWeights (counts: readonly number[]): number[] {
  const least = Math.min(...counts.filter(count => count > 0))
  return counts.map(count => count > 0 ? least / count : 0)
}
