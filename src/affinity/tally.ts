/**
 * Means of affinities. At a site: the signed mean of its batches, cell by cell, over those in which the cell was measured.
 * Over sites: each counts once, in the order of their names, so that everybody who has the same rows gets the same bits;
 * with five or more each cell is clipped to the middle four fifths of what they say, so that one cannot decide a split.
 */
import { cell, matrixOf } from './matrix.ts'
import type { Affinity } from './matrix.ts'

/** From so many values on, a tenth at either end is no longer the whole of them. */
const CLIP_FROM = 5
const CLIP_SHARE = 0.1

/** What a site has measured, cell by cell, row by row. */
export interface AffinitySums {
  readonly sums: Float32Array
  readonly counts: Uint32Array
}

export class AffinityTally {
  readonly #size: number
  readonly #sums: Float32Array | Float64Array
  readonly #counts: Uint32Array

  /** @param sums - where to sum up; in float32, what is saved or sent is the sum to the bit */
  constructor (size: number, sums: Float32Array | Float64Array = new Float64Array(size * size)) {
    this.#size = size
    this.#sums = sums
    this.#counts = new Uint32Array(size * size)
  }

  add (affinity: Affinity): void {
    for (let at = 0; at < this.#sums.length; at++) {
      const value = cell(affinity, Math.floor(at / this.#size), at % this.#size)
      if (!Number.isFinite(value)) continue
      this.#sums[at] = (this.#sums[at] as number) + value
      this.#counts[at] = (this.#counts[at] as number) + 1
    }
  }

  /** A copy. */
  save (): AffinitySums { return { sums: Float32Array.from(this.#sums), counts: this.#counts.slice() } }

  load ({ sums, counts }: AffinitySums): void {
    this.#sums.set(sums)
    this.#counts.set(counts)
  }

  /** NaN where nothing was measured. */
  mean (): number[][] {
    return matrixOf(this.#size, (source, target) => {
      const at = source * this.#size + target
      return (this.#sums[at] as number) / (this.#counts[at] as number)
    })
  }
}

/** Means of a site's sums; NaN where it has counted nothing. */
export function affinityOf ({ sums, counts }: AffinitySums, size: number): number[][] {
  return matrixOf(size, (source, target) => (sums[source * size + target] as number) / (counts[source * size + target] as number))
}

export interface SiteAffinity {
  readonly site: string
  readonly affinity: Affinity
}

/** @returns NaN where no site has measured */
export function meanOverSites (sites: readonly SiteAffinity[], size: number): number[][] {
  const ordered = [...sites].sort((a, b) => a.site < b.site ? -1 : 1)
  return matrixOf(size, (source, target) => {
    const values = ordered.map(({ affinity }) => cell(affinity, source, target)).filter(Number.isFinite)
    const clipped = values.length < CLIP_FROM ? values : clip(values)
    return clipped.reduce((sum, value) => sum + value, 0) / clipped.length
  })
}

/** To values that somebody said: one in between would move with the outermost, however far out that is. */
function clip (values: readonly number[]): number[] {
  const sorted = values.toSorted((a, b) => a - b)
  const outside = Math.ceil(CLIP_SHARE * (sorted.length - 1))
  const [low, high] = [sorted[outside], sorted[sorted.length - 1 - outside]] as [number, number]
  return values.map(value => Math.min(high, Math.max(low, value)))
}
