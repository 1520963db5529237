/**
 * The member log: a grow-only set of entries, each of which cites what its author had seen, and what follows from it.
 * Entries are exchanged as they are; nothing here knows from where.
 */
import { DecodeError, ProtocolError, ResourceError } from '../errors.ts'
import { ancestors, fold, inOrder } from './fold.ts'
import { readEntry, writeEntry } from './entry.ts'
import type { Act, Entry } from './entry.ts'
import type { MembershipState } from './fold.ts'
import type { Signer } from './signing.ts'

export interface Added {
  /** The entries that are new, causes first. */
  readonly entries: readonly Entry[]
  /** Cited and not here: whoever sent the entries has them. */
  readonly missing: readonly string[]
}

/** Ten changes a day for three years. */
export const MAX_ENTRIES = 10_000
/** Entries whose author was revoked before, kept in case a member's entry cites them. */
const MAX_HELD = 64

export class MemberLog {
  readonly #entries = new Map<string, Entry>()
  /** Of revoked authors: they become part of the log only if a member had built on them. */
  readonly #held = new Map<string, Entry>()
  #heads: readonly Entry[] = []
  #state: MembershipState

  /** @throws {DecodeError} the entries are damaged, incomplete, or of several consortia */
  constructor (genesis: Entry, rest: readonly Entry[] = []) {
    if (genesis.kind !== 'found') throw new DecodeError('member log: it does not begin with the founding of a consortium')
    this.#entries.set(genesis.hash, genesis)
    for (const entry of [...rest].sort(inOrder)) {
      this.#check(entry)
      this.#entries.set(entry.hash, entry)
    }
    this.#state = this.#refresh()
  }

  static read (all: readonly Uint8Array[]): MemberLog {
    const [genesis, ...rest] = all.map(readEntry)
    if (genesis === undefined) throw new DecodeError('member log: it is empty')
    return new MemberLog(genesis, rest)
  }

  /** Hash of the founding: the consortium's name among machines. */
  get id (): string { return this.#state.id }

  get state (): MembershipState { return this.#state }

  get size (): number { return this.#entries.size }

  /** Hashes of the entries that none cites yet, sorted. Equal heads mean equal logs. */
  get heads (): readonly string[] { return this.#heads.map(({ hash }) => hash) }

  has (hash: string): boolean { return this.#entries.has(hash) }

  /** All entries, causes first. */
  entries (): Entry[] { return [...this.#entries.values()].sort(inOrder) }

  /** What somebody lacks who has these heads; of heads that are not known here nothing can be said. */
  after (heads: readonly string[]): Entry[] {
    const entries = this.entries()
    const known = heads.filter(head => this.#entries.has(head))
    const theirs = ancestors(entries, known)
    for (const head of known) theirs.add(head)
    return entries.filter(({ hash }) => !theirs.has(hash))
  }

  /**
   * Takes entries from elsewhere; those it has already are no mistake.
   * @throws {DecodeError} one is damaged or not signed by its author; none of them is taken
   * @throws {ResourceError} the log is full
   */
  add (bytes: readonly Uint8Array[]): Added {
    const missing = new Set<string>()
    const fresh = new Map<string, Entry>()
    for (const entry of bytes.map(readEntry).sort(inOrder)) if (!this.#entries.has(entry.hash)) fresh.set(entry.hash, entry)
    const taken: Entry[] = []
    const take = (entry: Entry): boolean => {
      if (this.#entries.has(entry.hash)) return true
      for (const hash of entry.prev) {
        if (this.#entries.has(hash)) continue
        const held = this.#held.get(hash) ?? (this.#isRevoked(fresh.get(hash)) ? fresh.get(hash) : undefined)
        if (held === undefined || !take(held)) missing.add(hash)
      }
      if (entry.prev.some(hash => !this.#entries.has(hash))) return false
      this.#check(entry)
      if (this.#entries.size >= MAX_ENTRIES) throw new ResourceError(`the member log is full (${MAX_ENTRIES} entries)`)
      this.#entries.set(entry.hash, entry)
      this.#held.delete(entry.hash)
      taken.push(entry)
      return true
    }
    for (const entry of fresh.values()) {
      if (this.#isRevoked(entry)) this.#hold(entry)
      else take(entry)
    }
    if (taken.length > 0) this.#state = this.#refresh()
    return { entries: taken, missing: [...missing].filter(hash => !this.#entries.has(hash)) }
  }

  /** Signs an act, on top of all that is known here. @throws {ProtocolError} it would change nothing, with the reason */
  async append (signer: Signer, act: Act, at: number): Promise<Entry> {
    const entry = await writeEntry(signer, act, at, this.#heads)
    const would = fold([...this.#entries.values(), entry]).ignored.get(entry.hash)
    if (would !== undefined) throw new ProtocolError(`${act.kind}: ${would}`, { code: 'ERR_REFUSED' })
    if (this.#entries.size >= MAX_ENTRIES) throw new ResourceError(`the member log is full (${MAX_ENTRIES} entries)`)
    this.#entries.set(entry.hash, entry)
    this.#state = this.#refresh()
    return entry
  }

  #isRevoked (entry: Entry | undefined): boolean { return entry !== undefined && this.#state.revoked.has(entry.by) }

  #hold (entry: Entry): void {
    if (this.#held.size >= MAX_HELD) this.#held.delete(this.#held.keys().next().value as string)
    this.#held.set(entry.hash, entry)
  }

  #check (entry: Entry): void {
    if (entry.kind === 'found') throw new DecodeError('member log: a second founding')
    const prev = entry.prev.map(hash => this.#entries.get(hash))
    if (prev.some(cited => cited === undefined)) throw new DecodeError(`member log: an entry that ${entry.hash.slice(0, 12)} cites is missing`)
    const depth = Math.max(...prev.map(cited => (cited as Entry).depth)) + 1
    if (depth !== entry.depth) throw new DecodeError(`member log: ${entry.hash.slice(0, 12)} says depth ${entry.depth}, it is ${depth}`)
  }

  #refresh (): MembershipState {
    const cited = new Set([...this.#entries.values()].flatMap(({ prev }) => prev))
    // no more than an entry may cite: the deepest first
    this.#heads = [...this.#entries.values()].filter(({ hash }) => !cited.has(hash)).sort((a, b) => inOrder(b, a)).slice(0, 16).sort((a, b) => a.hash < b.hash ? -1 : 1)
    return fold([...this.#entries.values()])
  }
}
