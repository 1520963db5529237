/**
 * The deltas that went into merges, each under the sha-256 of its content, for as many rounds as the charter keeps them: who
 * has them can compute the aggregate again.
 */
import { mkdir, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { TEMPORARY, diskError, writeDurably } from './durable.ts'
import type { MergedDelta } from '../../src/ledger/index.ts'
import type { PackedDelta } from '../../src/federation/exchange.ts'

export const DELTA_NAME = /^[0-9a-f]{64}$/

export class DeltaStore {
  readonly #dir: string
  readonly #rounds: number
  /** cid -> the newest round that took it. */
  readonly #taken = new Map<string, number>()

  /** @param rounds - kept; none at all where 0 */
  constructor (dir: string, rounds: number) {
    this.#dir = dir
    this.#rounds = rounds
  }

  /** What a round took, as the ledger says. */
  note (round: number, merged: readonly MergedDelta[]): void {
    for (const { cid } of merged) this.#taken.set(cid, round)
    // A run that went back, to a checkpoint or to its start, has rounds to come that are older than what it has.
    for (const [cid, taken] of this.#taken) if (taken <= round - this.#rounds || taken > round) this.#taken.delete(cid)
  }

  /** Returns when they would outlive a power cut. @throws {ResourceError} disk full, no permission */
  async keep (deltas: readonly PackedDelta[]): Promise<void> {
    if (this.#rounds === 0 || deltas.length === 0) return
    try {
      await mkdir(this.#dir, { recursive: true })
    } catch (err) {
      throw diskError(err, `${this.#dir} not made`, this.#dir)
    }
    for (const { cid, payload } of deltas) {
      const path = join(this.#dir, cid)
      const there = await stat(path).catch(() => undefined)
      if (there?.size !== payload.byteLength) await writeDurably(path, payload)
    }
  }

  /** Removes what no round that is kept has taken, and what a kill left half-written. @throws {ResourceError} the folder cannot be read, or is read-only */
  async prune (): Promise<void> {
    try {
      for (const name of await readdir(this.#dir)) {
        if (name.endsWith(TEMPORARY) || (DELTA_NAME.test(name) && !this.#taken.has(name))) await rm(join(this.#dir, name), { force: true })
      }
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code === 'ENOENT') return
      throw diskError(err, `old deltas in ${this.#dir} not removed`, this.#dir)
    }
  }
}
