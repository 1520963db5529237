/**
 * The member log: a grow-only set of entries, each of which cites what its author had seen, and what follows from it.
 * Entries are exchanged as they are; nothing here knows from where.
 *
 * Part of the log is what members signed and what that cites. Entries of others (revoked, gone, never in) are kept aside, a
 * few, and become part of it if a member turns out to have built on them: so all who have the same members' entries have
 * the same log, whatever a revoked member sends to whom.
 */
import { DecodeError, ProtocolError, ResourceError } from '../errors.ts'
import { Ancestry } from './ancestry.ts'
import { hashOf } from './encoding.ts'
import { MAX_ENTRY_BYTES, MAX_PREV, readEntry, writeEntry } from './entry.ts'
import { again, inOrder, settle } from './fold.ts'
import type { Act, Entry } from './entry.ts'
import type { Folded } from './fold.ts'
import type { MembershipState } from './state.ts'
import type { Signer } from './signing.ts'

export interface Added {
  /** The entries that are new in the log, causes first. */
  readonly entries: readonly Entry[]
  /** Cited and not here: whoever sent the entries has them. */
  readonly missing: readonly string[]
}

/** Ten changes a day for three years. */
export const MAX_ENTRIES = 10_000
/** Entries that count in one voice: a tenth, so that no member, nor all whom it lets in, can fill the log. */
export const MAX_ENTRIES_PER_VOICE = 1000
/** Entries without effect that are kept aside, and entries whose causes have not come yet: 64 KiB each at most, mostly 300 bytes. */
const MAX_ASIDE = 256
const MAX_ASIDE_PER_AUTHOR = 32
/** What is part of the log and what follows from it are worked out in turns until neither changes: two, but where revocations are entangled. */
const MAX_TURNS = 8

export class MemberLog {
  readonly #id: string
  /** Causes first; those aside included. */
  readonly #all = new Map<string, Entry>()
  /** Part of the log: all but those aside. */
  #inside = new Set<string>()
  /** Came before their causes, or beyond their author's share. */
  readonly #waiting = new Map<string, Entry>()
  #ancestry = new Ancestry([])
  #folded: Folded
  /** Worked out when somebody asks. */
  #state: MembershipState | undefined
  #heads: readonly Entry[] = []
  /** Entries by voice. */
  #shares = new Map<string, number>()
  /** The founder, and all who ever knocked: nobody else can have been a member. */
  readonly #named = new Set<string>()

  /** @throws {DecodeError} the entries are damaged, incomplete, or of several consortia */
  constructor (genesis: Entry, rest: readonly Entry[] = []) {
    if (genesis.kind !== 'found') throw new DecodeError('member log: it does not begin with the founding of a consortium')
    if (rest.length > MAX_ENTRIES + MAX_ASIDE) throw new DecodeError(`member log: ${rest.length} entries, at most ${MAX_ENTRIES} are read`)
    this.#id = genesis.hash
    this.#named.add(genesis.by)
    this.#put(genesis)
    for (const entry of [...rest].sort(inOrder)) {
      if (this.#all.has(entry.hash)) continue
      this.#check(entry)
      this.#put(entry)
    }
    this.#folded = this.#settle()
    this.#count()
  }

  static read (all: readonly Uint8Array[]): MemberLog {
    const [genesis, ...rest] = all.map(readEntry)
    if (genesis === undefined) throw new DecodeError('member log: it is empty')
    return new MemberLog(genesis, rest)
  }

  /** Hash of the founding: the consortium's name among machines. */
  get id (): string { return this.#id }

  get state (): MembershipState {
    this.#state ??= this.#folded.walk.state()
    return this.#state
  }

  get size (): number { return this.#inside.size }

  /**
   * Hashes of the entries that none cites yet, sorted. Equal heads mean equal logs. Of more than an entry can cite the last
   * are stood for by a hash of them all: nobody has an entry of that name, so whoever lacks one of them asks.
   */
  get heads (): readonly string[] {
    const hashes = this.#heads.map(({ hash }) => hash)
    return hashes.length <= MAX_PREV ? hashes : [...hashes.slice(0, MAX_PREV - 1), hashOf(Buffer.from(hashes.join('')))].sort()
  }

  has (hash: string): boolean { return this.#inside.has(hash) || (this.#heads.length > MAX_PREV && this.heads.includes(hash)) }

  /** All entries, causes first. */
  entries (): Entry[] { return [...this.#all.values()].filter(({ hash }) => this.#inside.has(hash)).sort(inOrder) }

  /**
   * What somebody lacks who has these heads; of heads that are not known here nothing can be said. Whoever lacks something, or
   * has what is aside here, gets what is aside as well, at the end: it may be why the two do not agree on what is part of the log.
   */
  after (heads: readonly string[]): Entry[] {
    const known = heads.filter(head => this.#all.has(head))
    const lacking = this.entries().filter(({ hash }) => !known.some(head => head === hash || this.#ancestry.sees(head, hash)))
    if (lacking.length === 0 && known.every(head => this.#inside.has(head))) return []
    return [...lacking, ...[...this.#all.values()].filter(({ hash }) => !this.#inside.has(hash) && !heads.includes(hash)).sort(inOrder)]
  }

  /**
   * Takes entries from elsewhere; those it has already are no mistake.
   * @throws {DecodeError} one is damaged or not signed by its author; none of them is taken
   * @throws {ResourceError} the log is full; none of them is taken
   */
  add (bytes: readonly Uint8Array[]): Added {
    const page = bytes.flatMap(one => this.#isHere(one) ? [] : [readEntry(one)])
    const offered = new Map<string, Entry>(this.#waiting)
    for (const entry of page) offered.set(entry.hash, entry)
    const ready = this.#ready([...offered.values()].sort(inOrder), new Set(page.map(({ hash }) => hash)))
    const missing = new Set<string>()
    const open = page.filter(({ hash }) => !ready.has(hash))
    for (const entry of new Set(open)) {
      for (const hash of entry.prev) {
        const cause = offered.get(hash)
        if (cause === undefined && !this.#all.has(hash)) missing.add(hash)
        else if (cause !== undefined && !ready.has(hash)) open.push(cause)
      }
    }
    for (const entry of page) this.#waiting.set(entry.hash, entry)
    for (const hash of ready.keys()) this.#waiting.delete(hash)
    for (const hash of surplus(this.#waiting.values(), MAX_ASIDE)) this.#waiting.delete(hash)
    return { entries: this.#take([...ready.values()]), missing: [...missing] }
  }

  /** Signs an act, on top of all that is known here. @throws {ProtocolError} it would change nothing, with the reason */
  async append (signer: Signer, act: Act, at: number): Promise<Entry> {
    // those that have waited longest first: of more heads than it can cite none is left for ever
    const entry = await writeEntry(signer, act, at, [...this.#heads].sort(inOrder).slice(0, MAX_PREV))
    if (this.#inside.size >= MAX_ENTRIES) throw new ResourceError(`the member log is full (${MAX_ENTRIES} entries)`)
    if (this.#share(entry) >= MAX_ENTRIES_PER_VOICE) throw new ResourceError(`the member log has ${MAX_ENTRIES_PER_VOICE} entries of this member, no more are taken`)
    this.#take([entry])
    const why = this.#folded.walk.whyIgnored(entry.hash)
    if (why !== undefined) {
      this.#all.delete(entry.hash)
      this.#refold()
      throw new ProtocolError(`${act.kind}: ${why}`, { code: 'ERR_REFUSED' })
    }
    return entry
  }

  /** Spares the check of a signature that was checked before. */
  #isHere (bytes: Uint8Array): boolean { return bytes.byteLength <= MAX_ENTRY_BYTES && this.#all.has(hashOf(bytes)) }

  /** Those of the offered that can be taken now, causes first. */
  #ready (offered: readonly Entry[], page: ReadonlySet<string>): Map<string, Entry> {
    const byHash = new Map(offered.map(entry => [entry.hash, entry]))
    const ready = new Map<string, Entry>()
    const refused = new Set<string>()
    const shares = new Map(this.#shares)
    const named = new Set(this.#named)
    const here = (hash: string): Entry | undefined => this.#all.get(hash) ?? ready.get(hash)
    const voiceOf = ({ by }: Entry): string => this.#folded.walk.voiceOf(by)
    const mayCome = (entry: Entry, needed: boolean): boolean => {
      if (!named.has(entry.by) || (!needed && (shares.get(voiceOf(entry)) ?? 0) >= MAX_ENTRIES_PER_VOICE)) return false
      for (const hash of entry.prev) {
        const cause = byHash.get(hash)
        // what somebody else has built on is needed, whoever wrote it
        if (here(hash) === undefined && (cause === undefined || !take(cause, needed || voiceOf(cause) !== voiceOf(entry)))) return false
      }
      return true
    }
    const take = (entry: Entry, needed: boolean): boolean => {
      if (here(entry.hash) !== undefined) return true
      const key = `${needed} ${entry.hash}`
      if (refused.has(key)) return false
      if (!mayCome(entry, needed) || !this.#isSound(entry, here, page)) {
        refused.add(key)
        return false
      }
      shares.set(voiceOf(entry), (shares.get(voiceOf(entry)) ?? 0) + 1)
      if (entry.kind === 'knock') named.add(entry.knock.peer)
      ready.set(entry.hash, entry)
      return true
    }
    for (const entry of offered) take(entry, false)
    if (this.#inside.size + ready.size > MAX_ENTRIES) throw new ResourceError(`the member log is full (${MAX_ENTRIES} entries)`)
    return ready
  }

  /** Of one that waited nobody can be told that it was wrong: it is forgotten. */
  #isSound (entry: Entry, here: (hash: string) => Entry | undefined, page: ReadonlySet<string>): boolean {
    try {
      this.#check(entry, here)
      return true
    } catch (cause) {
      this.#waiting.delete(entry.hash)
      if (page.has(entry.hash)) throw cause
      return false
    }
  }

  /** @returns those that are part of the log now and were not */
  #take (ready: readonly Entry[]): Entry[] {
    if (ready.length === 0) return []
    const before = this.#inside
    this.#state = undefined
    let quick = this.#inside.size === this.#all.size
    for (const entry of ready) {
      quick &&= this.#isNext(entry)
      this.#put(entry)
      if (!quick) continue
      this.#folded.walk.take(entry)
      this.#heads = [entry]
      quick = !this.#folded.walk.void.has(entry.hash)
    }
    if (quick) {
      for (const { hash, by } of ready) {
        before.add(hash)
        this.#shares.set(this.#folded.walk.voiceOf(by), this.#share({ by }) + 1)
      }
      return [...ready]
    }
    this.#folded = this.#settle()
    this.#count()
    return [...this.#all.values()].filter(({ hash }) => this.#inside.has(hash) && !before.has(hash)).sort(inOrder)
  }

  /** It has seen all there is and decides nothing: the walk goes on with it, where a walk from the start would end as well. */
  #isNext ({ kind, prev }: Entry): boolean {
    return kind !== 'revoke' && kind !== 'amend' && kind !== 'approve' && prev.length === this.#heads.length && this.#heads.every(({ hash }) => prev.includes(hash))
  }

  #put (entry: Entry): void {
    this.#all.set(entry.hash, entry)
    this.#ancestry.add(entry)
    if (entry.kind === 'knock') this.#named.add(entry.knock.peer)
  }

  #share ({ by }: Pick<Entry, 'by'>): number { return this.#shares.get(this.#folded.walk.voiceOf(by)) ?? 0 }

  /** Tells what is part of the log from what is aside: what follows from the part alone is what all agree on. */
  #settle (): Folded {
    this.#inside = new Set(this.#all.keys())
    const ordered = this.entries()
    let folded = settle(ordered, this.#ancestry)
    for (let turn = 0; turn < MAX_TURNS; turn++) {
      const part = this.#part(again(ordered, this.#ancestry, folded))
      if (part.size === this.#inside.size && [...part].every(hash => this.#inside.has(hash))) break
      this.#inside = part
      folded = settle(this.entries(), this.#ancestry)
    }
    return folded
  }

  #count (): void {
    const cited = new Set<string>()
    this.#shares = new Map()
    for (const entry of this.#all.values()) {
      if (!this.#inside.has(entry.hash)) continue
      for (const cause of entry.prev) cited.add(cause)
      this.#shares.set(this.#folded.walk.voiceOf(entry.by), this.#share(entry) + 1)
    }
    this.#heads = [...this.#all.values()].filter(({ hash }) => this.#inside.has(hash) && !cited.has(hash)).sort((a, b) => a.hash < b.hash ? -1 : 1)
    const dropped = new Set(surplus([...this.#all.values()].filter(({ hash }) => !this.#inside.has(hash)), MAX_ASIDE_PER_AUTHOR))
    if (dropped.size === 0) return
    for (const { hash, prev } of this.#all.values()) if (dropped.has(hash) || prev.some(cause => dropped.has(cause))) dropped.add(hash)
    for (const hash of dropped) this.#all.delete(hash)
    this.#ancestry = new Ancestry(this.#all.values())
  }

  /** What members signed, the votes that were settled, and what these cite. */
  #part ({ walk, decisions }: Folded): Set<string> {
    const needed = new Set(decisions.flatMap(({ votes }) => votes))
    const part = new Set<string>()
    for (const { hash, prev } of [...this.#all.values()].reverse()) {
      if (walk.void.has(hash) && !needed.has(hash)) continue
      part.add(hash)
      for (const cause of prev) needed.add(cause)
    }
    return part
  }

  #refold (): void {
    this.#ancestry = new Ancestry(this.#all.values())
    this.#folded = this.#settle()
    this.#state = undefined
    this.#count()
  }

  #check (entry: Entry, here: (hash: string) => Entry | undefined = hash => this.#all.get(hash)): void {
    if (entry.kind === 'found') throw new DecodeError('member log: a second founding')
    const prev = entry.prev.map(here)
    if (prev.some(cited => cited === undefined)) throw new DecodeError(`member log: an entry that ${entry.hash.slice(0, 12)} cites is missing`)
    const depth = Math.max(...prev.map(cited => (cited as Entry).depth)) + 1
    if (depth !== entry.depth) throw new DecodeError(`member log: ${entry.hash.slice(0, 12)} says depth ${entry.depth}, it is ${depth}`)
  }
}

/** What there is no room for: the author with most gives first, what it added last. */
function surplus (entries: Iterable<Entry>, perAuthor: number): string[] {
  const byAuthor = new Map<string, string[]>()
  const surplus: string[] = []
  let kept = 0
  for (const { hash, by } of [...entries].sort(inOrder)) {
    const hashes = byAuthor.get(by) ?? []
    byAuthor.set(by, hashes)
    if (hashes.length >= perAuthor) {
      surplus.push(hash)
      continue
    }
    hashes.push(hash)
    kept++
  }
  for (; kept > MAX_ASIDE; kept--) surplus.push([...byAuthor.values()].reduce((a, b) => b.length > a.length ? b : a).pop() as string)
  return surplus
}
