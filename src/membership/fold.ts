/**
 * From the set of entries to who is a member: a pure function of the set, so that two nodes with the same entries agree
 * whatever the order in which they came, and whoever was cut off from whom meanwhile.
 *
 * Entries are taken in the order (depth, hash): causes before effects, concurrent ones in an order that nobody can choose
 * cheaply enough to matter. A revocation is for ever and wins over whatever its target did meanwhile: of a revoked member
 * only those entries count that one of the votes against it had seen. As votes may void votes, the fold is repeated with one
 * more revocation settled each time, the first in order first.
 */
import { consortiumHash } from './consortium.ts'
import { encodeCanonical, hashBytes, hashOf } from './encoding.ts'
import type { ConsortiumCharter } from './consortium.ts'
import type { Act, Entry, MemberRole } from './entry.ts'
import type { Knock } from './knock.ts'

export interface Member {
  readonly peer: string
  readonly name: string
  readonly role: MemberRole
  /** Who opened the door: undefined for the founder. */
  readonly invitedBy?: string
  readonly admittedBy?: string
  /** When, by the clock of whoever admitted it, ms. */
  readonly since: number
}

export interface Invitation {
  /** Hash of its entry. */
  readonly id: string
  readonly by: string
  readonly key: string
  readonly role: MemberRole
  readonly from: number
  readonly until: number
  readonly uses: number
  /** Peers that came in by it. */
  readonly used: readonly string[]
  readonly withdrawn: boolean
}

export interface Pending {
  readonly knock: Knock
  /** Entry that brought it. */
  readonly entry: string
  readonly invitation: Invitation
  readonly at: number
  /** Member who met the newcomer. */
  readonly by: string
}

export interface Revocation {
  readonly peer: string
  readonly name: string
  readonly reason: string
  readonly by: readonly string[]
  readonly at: number
}

export interface Proposal {
  readonly amendment: string
  readonly charter: ConsortiumCharter
  readonly by: string
  readonly approvals: readonly string[]
  readonly needed: number
}

export interface MembershipState {
  /** Hash of the first entry, hex. */
  readonly id: string
  readonly charter: ConsortiumCharter
  readonly charterHash: string
  readonly members: ReadonlyMap<string, Member>
  readonly invitations: ReadonlyMap<string, Invitation>
  readonly pending: ReadonlyMap<string, Pending>
  readonly revoked: ReadonlyMap<string, Revocation>
  /** Votes that are not enough yet: target to voters. */
  readonly votes: ReadonlyMap<string, readonly string[]>
  readonly left: ReadonlySet<string>
  readonly proposals: readonly Proposal[]
  /** Hash over charter, members and revoked: two nodes with the same one let the same peers in. */
  readonly digest: string
  /** Entries that changed nothing, with the reason. */
  readonly ignored: ReadonlyMap<string, string>
}

/** How far the clocks of inviter and member may differ, ms (Flower allows as much). */
export const CLOCK_TOLERANCE_MS = 300_000

/** What a revoked member had done by the time that somebody voted against it. */
type Settled = Map<string, { readonly allowed: ReadonlySet<string>, readonly revocation: Revocation }>

/** @param entries - complete: whatever one cites is among them; the first in order founds the consortium */
export function fold (entries: readonly Entry[]): MembershipState {
  const ordered = [...entries].sort(inOrder)
  const settled: Settled = new Map()
  for (;;) {
    const pass = new Pass(ordered, settled)
    const [first] = pass.decided
    if (first === undefined) return pass.state()
    settled.set(first.revocation.peer, { allowed: ancestors(ordered, first.votes), revocation: first.revocation })
  }
}

export function inOrder (a: Entry, b: Entry): number { return a.depth - b.depth || (a.hash < b.hash ? -1 : 1) }

/** Signatures that a decision needs, of so many that may sign. */
export function quorumOf (charter: ConsortiumCharter, eligible: number): number {
  const { quorum } = charter.governance
  return quorum === 'majority' ? Math.floor(eligible / 2) + 1 : Math.max(1, Math.min(quorum, eligible))
}

/** Why an invitation opens no door at `now`; undefined if it does. */
export function whyClosed (invitation: Invitation, now: number): string | undefined {
  if (invitation.withdrawn) return 'it was withdrawn'
  if (invitation.used.length >= invitation.uses) return `it is used up (${invitation.uses} of ${invitation.uses})`
  if (now > invitation.until + CLOCK_TOLERANCE_MS) return `it expired at ${new Date(invitation.until).toISOString()}`
  if (now < invitation.from - CLOCK_TOLERANCE_MS) return `it is not valid before ${new Date(invitation.from).toISOString()}; compare the clocks`
  return undefined
}

/** Entries that those with these hashes had seen, themselves not included. */
export function ancestors (entries: readonly Entry[], of: readonly string[]): Set<string> {
  const byHash = new Map(entries.map(entry => [entry.hash, entry]))
  const seen = new Set<string>()
  const open = of.flatMap(hash => byHash.get(hash)?.prev ?? [])
  for (let hash = open.pop(); hash !== undefined; hash = open.pop()) {
    if (seen.has(hash)) continue
    seen.add(hash)
    open.push(...byHash.get(hash)?.prev ?? [])
  }
  return seen
}

interface Decision { readonly revocation: Revocation, readonly votes: readonly string[] }

class Pass {
  readonly decided: Decision[] = []
  readonly #settled: Settled
  readonly #genesis: Entry & { kind: 'found' }
  readonly #members = new Map<string, Member>()
  readonly #invitations = new Map<string, Invitation>()
  readonly #pending = new Map<string, Pending>()
  readonly #revoked = new Map<string, Revocation>()
  /** target -> voter -> entry */
  readonly #votes = new Map<string, Map<string, Entry & { kind: 'revoke' }>>()
  readonly #left = new Set<string>()
  readonly #proposals = new Map<string, { charter: ConsortiumCharter, by: string, approvals: Set<string> }>()
  readonly #ignored = new Map<string, string>()
  #charter: ConsortiumCharter

  constructor (ordered: readonly Entry[], settled: Settled) {
    this.#settled = settled
    const [genesis] = ordered
    if (genesis?.kind !== 'found') throw new Error('a member log begins with the founding of its consortium')
    this.#genesis = genesis
    this.#charter = genesis.charter
    this.#members.set(genesis.by, { peer: genesis.by, name: genesis.name, role: 'member', since: genesis.at })
    for (const entry of ordered.slice(1)) {
      const why = this.#take(entry)
      if (why !== undefined) this.#ignored.set(entry.hash, why)
    }
    // A vote that counted may have been voided by a later turn; what was settled stays so.
    for (const { revocation } of settled.values()) this.#expel(revocation)
  }

  state (): MembershipState {
    const charterHash = consortiumHash(this.#charter)
    const members = new Map([...this.#members].sort(([a], [b]) => a < b ? -1 : 1))
    return {
      id: this.#genesis.hash,
      charter: this.#charter,
      charterHash,
      members,
      invitations: this.#invitations,
      pending: this.#pending,
      revoked: this.#revoked,
      votes: new Map([...this.#votes].map(([peer, votes]) => [peer, [...votes.keys()]])),
      left: this.#left,
      proposals: [...this.#proposals].map(([amendment, { charter, by, approvals }]) => ({ amendment, charter, by, approvals: [...approvals], needed: quorumOf(this.#charter, this.#voters().length) })),
      digest: hashOf(encodeCanonical([hashBytes(charterHash), [...members.values()].map(({ peer, role }) => [peer, role]), [...this.#revoked.keys()].sort()])),
      ignored: this.#ignored
    }
  }

  /** @returns why the entry changes nothing */
  #take (entry: Entry): string | undefined {
    const settled = this.#settled.get(entry.by)
    if (settled !== undefined && !settled.allowed.has(entry.hash)) return 'its author was revoked'
    const author = this.#members.get(entry.by)
    if (author === undefined) return 'its author was no member'
    if (author.role === 'client' && entry.kind !== 'leave') return 'its author is a client: clients do not decide'
    return this.#act(entry, entry)
  }

  #act (act: Act, entry: Entry): string | undefined {
    switch (act.kind) {
      case 'found': return 'the consortium is founded already'
      case 'invite': return this.#invite(act, entry)
      case 'withdraw': return this.#withdraw(act.invite)
      case 'knock': return this.#knock(act.knock, entry)
      case 'admit': return this.#admit(act.peer, entry)
      case 'revoke': return this.#vote(act, entry)
      case 'leave': return this.#leave(entry.by)
      case 'amend': return this.#amend(act.charter, entry)
      case 'approve': return this.#approve(act.amendment, entry.by)
    }
  }

  #invite ({ key, role, from, until, uses }: Act & { kind: 'invite' }, { hash, by }: Entry): string | undefined {
    const { invitationDays } = this.#charter.governance
    // a minute for what passes between reading the clock twice
    if (until - from > invitationDays * 86_400_000 + 60_000) return `it is valid for more than the ${invitationDays} days that the charter allows`
    if (this.#revoked.has(key)) return 'it invites a revoked peer'
    this.#invitations.set(hash, { id: hash, by, key, role, from, until, uses, used: [], withdrawn: false })
    return undefined
  }

  #withdraw (id: string): string | undefined {
    const invitation = this.#invitations.get(id)
    if (invitation === undefined) return 'there is no such invitation'
    this.#invitations.set(id, { ...invitation, withdrawn: true })
    for (const [peer, pending] of this.#pending) if (pending.invitation.id === id) this.#pending.delete(peer)
    return undefined
  }

  #knock (knock: Knock, entry: Entry): string | undefined {
    const { peer } = knock
    if (knock.net !== this.#genesis.hash) return 'it knocks at another consortium'
    if (this.#revoked.has(peer)) return 'the newcomer was revoked before'
    if (this.#members.has(peer)) return 'the newcomer is a member already'
    const invitation = this.#invitations.get(knock.invite)
    if (invitation === undefined) return 'there is no such invitation'
    const closed = whyClosed(invitation, entry.at)
    if (closed !== undefined) return `its invitation is not valid: ${closed}`
    this.#pending.set(peer, { knock, entry: entry.hash, invitation, at: entry.at, by: entry.by })
    if (this.#charter.governance.admission === 'link') this.#enter(peer, entry)
    return undefined
  }

  #admit (peer: string, entry: Entry): string | undefined {
    const pending = this.#pending.get(peer)
    if (pending === undefined) return 'nobody with this peer id is at the door'
    const { admission } = this.#charter.governance
    if (admission === 'second-member' && entry.by === pending.invitation.by && this.#voters().length > 1) return 'the charter wants a yes from somebody else than the one who invited'
    const invitation = this.#invitations.get(pending.invitation.id)
    if (invitation === undefined || invitation.withdrawn || invitation.used.length >= invitation.uses) return 'its invitation is withdrawn or used up'
    this.#enter(peer, entry)
    return undefined
  }

  #enter (peer: string, entry: Entry): void {
    const { knock, invitation: { id } } = this.#pending.get(peer) as Pending
    const invitation = this.#invitations.get(id) as Invitation
    this.#invitations.set(id, { ...invitation, used: [...invitation.used, peer] })
    this.#pending.delete(peer)
    this.#left.delete(peer)
    this.#members.set(peer, { peer, name: knock.name, role: invitation.role, invitedBy: invitation.by, admittedBy: entry.by, since: entry.at })
  }

  #vote (act: Act & { kind: 'revoke' }, entry: Entry): string | undefined {
    const target = this.#members.get(act.peer)
    if (this.#settled.has(act.peer)) {
      // settled by an earlier turn: takes effect with the vote that completed it, below
      if (this.#revoked.has(act.peer)) return 'it is revoked already'
    } else if (target === undefined) return 'there is no such member'
    const votes = this.#votes.get(act.peer) ?? new Map<string, Entry & { kind: 'revoke' }>()
    this.#votes.set(act.peer, votes.set(entry.by, entry as Entry & { kind: 'revoke' }))
    const eligible = this.#voters().filter(peer => peer !== act.peer)
    const standing = [...votes].filter(([voter]) => eligible.includes(voter))
    if (standing.length < quorumOf(this.#charter, eligible.length)) return undefined
    const revocation = { peer: act.peer, name: target?.name ?? '', reason: act.reason, by: standing.map(([voter]) => voter), at: entry.at }
    if (!this.#settled.has(act.peer)) this.decided.push({ revocation, votes: standing.map(([, { hash }]) => hash) })
    this.#expel(this.#settled.get(act.peer)?.revocation ?? revocation)
    return undefined
  }

  #expel (revocation: Revocation): void {
    const { peer } = revocation
    this.#revoked.set(peer, revocation)
    this.#members.delete(peer)
    this.#votes.delete(peer)
    this.#pending.delete(peer)
    // what it left open is closed: its links may be in anybody's hands
    for (const [id, invitation] of this.#invitations) if (invitation.by === peer) this.#invitations.set(id, { ...invitation, withdrawn: true })
    for (const [newcomer, { invitation }] of this.#pending) if (invitation.by === peer) this.#pending.delete(newcomer)
  }

  #leave (peer: string): string | undefined {
    this.#members.delete(peer)
    this.#votes.delete(peer)
    this.#left.add(peer)
    return undefined
  }

  #amend (charter: ConsortiumCharter, { hash, by }: Entry): string | undefined {
    if (charter.version !== this.#charter.version + 1) return `it amends version ${charter.version - 1}, the charter is at ${this.#charter.version}`
    this.#proposals.set(hash, { charter, by, approvals: new Set([by]) })
    return this.#decide(hash)
  }

  #approve (amendment: string, by: string): string | undefined {
    const proposal = this.#proposals.get(amendment)
    if (proposal === undefined) return 'there is no such amendment, or it is decided'
    proposal.approvals.add(by)
    return this.#decide(amendment)
  }

  #decide (amendment: string): undefined {
    const { charter, approvals } = this.#proposals.get(amendment) as { charter: ConsortiumCharter, approvals: Set<string> }
    const voters = this.#voters()
    if ([...approvals].filter(peer => voters.includes(peer)).length < quorumOf(this.#charter, voters.length)) return
    this.#charter = charter
    this.#proposals.clear() // all were for the version before
  }

  #voters (): string[] { return [...this.#members.values()].filter(({ role }) => role === 'member').map(({ peer }) => peer) }
}
