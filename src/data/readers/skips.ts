/** Samples that cannot be read: left out, counted and named, up to a share above which the source itself is to blame. */
import { DataError } from '../../errors.ts'

export interface Skips {
  readonly count: number
  /** The first of them, each with its place and its cause. */
  readonly named: readonly string[]
}

/** A hospital had 48 unreadable studies among 1 910, and every run died on the first one. */
export const MAX_BAD_SHARE = 0.05
const MAX_NAMED = 50

export class SkipList implements Skips {
  readonly named: string[] = []
  count = 0

  add (what: string): void {
    if (this.count++ < MAX_NAMED) this.named.push(what)
  }

  /** @throws {DataError} more than `share` of `total` are bad */
  check (path: string, total: number, share: number): void {
    if (this.count <= share * total) return
    const [first = '', second, third] = this.named
    const others = [second, third].filter((text) => text !== undefined).map((text) => `; ${text}`).join('')
    const more = this.count > 3 ? `; and ${this.count - 3} more` : ''
    throw new DataError(this.count === 1 && total > 0 && share === 0
      ? first
      : `${path}: ${this.count} of ${total} samples cannot be read, at most ${Math.floor(share * total)} are left out: ${first}${others}${more}`, { next: 'correct them, or take them out' })
  }
}
