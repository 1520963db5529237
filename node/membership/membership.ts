/**
 * This node's membership: the member log of its home, who is let in by it, and the acts that this member signs. Every change
 * is on disk before anybody hears of it.
 */
import { randomBytes } from 'node:crypto'
import { TypedEventEmitter } from 'main-event'
import { MemberLog, whyClosed, writeEntry } from '../../src/membership/index.ts'
import { MemberStore } from '../store/member-store.ts'
import type { Act, Added, ConsortiumCharter, Entry, Invitation, MembershipState, Signer } from '../../src/membership/index.ts'

export interface MembershipEvents {
  /** New entries, causes first, wherever they came from. */
  entries: CustomEvent<{ readonly entries: readonly Entry[], readonly own: boolean }>
}

export class Membership extends TypedEventEmitter<MembershipEvents> {
  readonly signer: Signer
  readonly networkKey: Uint8Array
  readonly store: MemberStore
  readonly #log: MemberLog
  readonly #now: () => number

  constructor (log: MemberLog, networkKey: Uint8Array, store: MemberStore, signer: Signer, now: () => number) {
    super()
    this.#log = log
    this.networkKey = networkKey
    this.store = store
    this.signer = signer
    this.#now = now
  }

  /** @returns undefined where the home is of no consortium */
  static async open (home: string, signer: Signer, now: () => number = Date.now): Promise<Membership | undefined> {
    const store = new MemberStore(home)
    const found = await store.load()
    return found === undefined ? undefined : new Membership(found.log, found.networkKey, store, signer, now)
  }

  /** @param name - of the founder, as members see it */
  static async found (home: string, signer: Signer, charter: ConsortiumCharter, name: string, now: () => number = Date.now): Promise<Membership> {
    const genesis = await writeEntry(signer, { kind: 'found', charter, name, nonce: randomBytes(32).toString('hex') }, now(), [])
    return await Membership.create(home, signer, new MemberLog(genesis), Uint8Array.from(randomBytes(32)), now)
  }

  static async create (home: string, signer: Signer, log: MemberLog, networkKey: Uint8Array, now: () => number = Date.now): Promise<Membership> {
    const store = new MemberStore(home)
    await store.create(log, networkKey)
    return new Membership(log, networkKey, store, signer, now)
  }

  /** Hash of the founding, hex. */
  get id (): string { return this.#log.id }

  get state (): MembershipState { return this.#log.state }

  get heads (): readonly string[] { return this.#log.heads }

  /** Whether this node is a member now. */
  get joined (): boolean { return this.state.members.has(this.signer.peer) }

  has (hash: string): boolean { return this.#log.has(hash) }

  after (heads: readonly string[]): readonly Entry[] { return this.#log.after(heads) }

  entries (): readonly Entry[] { return this.#log.entries() }

  allows (peer: string): boolean { return this.state.members.has(peer) }

  /** The open invitation that names this identity. */
  door (peer: string): Invitation | undefined {
    return this.#invitationsOf(peer).find(invitation => whyClosed(invitation, this.#now()) === undefined)
  }

  /** Why a peer is not let in, in words for the log. */
  whyNot (peer: string): string {
    const { revoked, left } = this.state
    const expelled = revoked.get(peer)
    if (expelled !== undefined) return `it was revoked (${expelled.reason})`
    const invitation = this.#invitationsOf(peer).at(-1)
    if (invitation !== undefined) return `its invitation ${invitation.id.slice(0, 8)} is not valid: ${whyClosed(invitation, this.#now()) ?? 'it is for knocking only'}`
    return left.has(peer) ? 'it has left the consortium' : 'it is no member and no invitation names it'
  }

  /** Signs an act. @throws {ProtocolError} it would change nothing, with the reason */
  async act (act: Act): Promise<Entry> {
    const before = this.state.charterHash
    const entry = await this.#log.append(this.signer, act, this.#now())
    await this.#keep([entry], before, true)
    return entry
  }

  /** Takes entries from elsewhere. @throws {DecodeError | ResourceError} */
  async add (bytes: readonly Uint8Array[]): Promise<Added> {
    const before = this.state.charterHash
    const added = this.#log.add(bytes)
    if (added.entries.length > 0) await this.#keep(added.entries, before, false)
    return added
  }

  async #keep (entries: readonly Entry[], charterBefore: string, own: boolean): Promise<void> {
    const { charter, charterHash } = this.state
    await this.store.append(entries, charterHash === charterBefore ? undefined : charter)
    this.safeDispatchEvent('entries', { detail: { entries, own } })
  }

  #invitationsOf (peer: string): Invitation[] { return [...this.state.invitations.values()].filter(({ key }) => key === peer) }
}
