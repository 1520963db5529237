/**
 * One walk over the entries of a member log, in the order (depth, hash), under decisions that are settled already (./fold.ts
 * settles them). A vote is written down and changes nothing until its decision is settled.
 *
 * What a member did is undone by nothing that it could not have seen: an invitation is withdrawn, and a member gone, for
 * entries that cite so. Otherwise whoever forks from an old head could make undone what came after.
 */
import { consortiumHash } from './consortium.ts'
import { encodeCanonical, hashBytes, hashOf } from './encoding.ts'
import { quorumOf, whyClosed } from './state.ts'
import type { Ancestry } from './ancestry.ts'
import type { ConsortiumCharter } from './consortium.ts'
import type { Act, Entry } from './entry.ts'
import type { Knock } from './knock.ts'
import type { Invitation, Member, MembershipState, Pending, Proposal, Revocation } from './state.ts'

/** A quorum of votes: a member is expelled, or the charter changed. */
export interface Decision {
  /** Member who is expelled, or hash of the amendment. */
  readonly subject: string
  readonly kind: 'revoke' | 'amend'
  /** Entries that make it up, and who signed them. */
  readonly votes: readonly string[]
  readonly voters: readonly string[]
  /** Where in the order it takes effect: at the last of them. */
  readonly place: number
  readonly voices: number
  readonly reason: string
  readonly at: number
}

export interface Settled {
  readonly decisions: readonly Decision[]
  /** Admissions that lost a race for the last use of an invitation. */
  readonly lost: ReadonlySet<string>
  /** Peers of whom only those entries count that one of these votes had seen. */
  readonly void: ReadonlyMap<string, readonly string[]>
}

interface Vote { readonly entry: string, readonly by: string, readonly voice: string, readonly place: number, readonly eligible: ReadonlySet<string>, readonly charter: ConsortiumCharter, readonly reason: string, readonly at: number }
interface Inside extends Member { readonly entry: string, readonly place: number }
interface Door extends Omit<Invitation, 'used' | 'withdrawn'> { readonly used: Array<{ peer: string, entry: string, by: string }>, readonly closedBy: string[], shut: boolean }
interface Waiting { readonly knock: Knock, readonly entry: string, readonly door: Door, readonly at: number, readonly by: string }
interface Motion { readonly charter: ConsortiumCharter, readonly by: string, readonly approvals: Map<string, Vote> }

export class Walk {
  readonly #ancestry: Ancestry
  readonly #settled: Settled
  readonly #at = new Map<number, Decision[]>()
  readonly #founding: Entry & { kind: 'found' }
  readonly #entries: readonly Entry[]
  readonly #members = new Map<string, Inside>()
  readonly #left = new Map<string, { readonly member: Inside, readonly entry: string }>()
  readonly #doors = new Map<string, Door>()
  readonly #pending = new Map<string, Waiting>()
  readonly #revoked = new Map<string, Revocation>()
  readonly #names = new Map<string, string>()
  readonly #votes = new Map<string, Map<string, Vote>>()
  readonly #motions = new Map<string, Motion>()
  readonly #ignored = new Map<string, string>()
  readonly #charters = new Set<string>()
  /** Every time that somebody got a voice of its own. */
  readonly #arrivals: Array<{ readonly peer: string, readonly entry: string, readonly place: number }> = []
  /** Entries of those who had no say. */
  readonly void = new Set<string>()
  /** Admissions that stood in the way of ones that more members had built on. */
  readonly lost = new Set<string>()
  #charter: ConsortiumCharter
  #place = 0

  /** @param ordered - complete and in order */
  constructor (ordered: readonly Entry[], ancestry: Ancestry, settled: Settled) {
    const [founding] = ordered
    if (founding?.kind !== 'found') throw new Error('a member log begins with the founding of its consortium')
    this.#ancestry = ancestry
    this.#settled = settled
    this.#entries = ordered
    for (const decision of settled.decisions) this.#at.set(decision.place, [...this.#at.get(decision.place) ?? [], decision])
    this.#founding = founding
    this.#charter = founding.charter
    this.#charters.add(consortiumHash(founding.charter))
    this.#names.set(founding.by, founding.name)
    this.#members.set(founding.by, { peer: founding.by, name: founding.name, role: 'member', since: founding.at, voice: founding.by, entry: founding.hash, place: 0 })
    for (const entry of ordered.slice(1)) this.take(entry)
  }

  /** The next in order. */
  take (entry: Entry): void {
    this.#place++
    const author = this.#author(entry)
    if (typeof author === 'string') this.void.add(entry.hash)
    const why = typeof author === 'string'
      ? author
      : author.role === 'client' && entry.kind !== 'leave' ? 'its author is a client: clients do not decide' : this.#act(entry, entry, author)
    if (why !== undefined) this.#ignored.set(entry.hash, why)
    for (const decision of this.#at.get(this.#place) ?? []) this.#carryOut(decision)
  }

  /** In whose name entries of this peer count. */
  voiceOf (peer: string): string { return (this.#members.get(peer) ?? this.#left.get(peer)?.member)?.voice ?? peer }

  whyIgnored (hash: string): string | undefined { return this.#ignored.get(hash) }

  state (): MembershipState {
    const charterHash = consortiumHash(this.#charter)
    const members = new Map([...this.#members].sort(([a], [b]) => a < b ? -1 : 1).map(([peer, { entry: _, place: __, ...member }]): [string, Member] => [peer, member]))
    const invitations = new Map([...this.#doors].map(([id, door]) => [id, invitationOf(door)]))
    const pending = new Map<string, Pending>()
    for (const [peer, { door, ...rest }] of this.#pending) {
      const invitation = invitations.get(door.id) as Invitation
      if (!invitation.withdrawn && invitation.used.length < invitation.uses) pending.set(peer, { ...rest, invitation })
    }
    return {
      id: this.#founding.hash,
      charter: this.#charter,
      charterHash,
      members,
      invitations,
      pending,
      revoked: new Map(this.#revoked),
      votes: new Map([...this.#votes].filter(([peer]) => this.#members.has(peer)).map(([peer, votes]) => [peer, [...votes.keys()]])),
      left: new Set(this.#left.keys()),
      proposals: this.#proposals(),
      digest: hashOf(encodeCanonical([hashBytes(charterHash), [...members.values()].map(({ peer, role }) => [peer, role]), [...this.#revoked.keys()].sort()])),
      ignored: new Map(this.#ignored)
    }
  }

  /** Amendments that have their quorum, the one with most voices first. */
  amendments (): Decision[] {
    const decided = [...this.#motions].map(([hash, { approvals }]) => this.#decide(hash, 'amend', approvals)).filter(decision => decision !== undefined)
    return decided.sort((a, b) => b.voices - a.voices || a.place - b.place)
  }

  /** The votes that expel a member, if there are enough. */
  revocation (peer: string): Decision | undefined { return this.#decide(peer, 'revoke', this.#votes.get(peer) ?? new Map()) }

  /**
   * The first votes in order that are a quorum of all who could have a say: those who were in at the last of them, and those
   * who came in later without having seen all of them. Whoever dates its vote back to when there were few gains nothing, for
   * nobody has seen it.
   */
  #decide (subject: string, kind: Decision['kind'], cast: ReadonlyMap<string, Vote>): Decision | undefined {
    const votes: Vote[] = []
    for (const vote of cast.values()) {
      votes.push(vote)
      const eligible = new Set(vote.eligible)
      for (const { voice } of votes) eligible.add(voice)
      eligible.delete(subject)
      const voices = new Set(votes.map(({ voice }) => voice).filter(voice => voice !== subject)).size
      if (voices < quorumOf(vote.charter, eligible.size)) continue
      for (const { peer, entry, place } of this.#arrivals) {
        if (place > vote.place && peer !== subject && !votes.every(vote => this.#ancestry.sees(entry, vote.entry))) eligible.add(peer)
      }
      if (voices < quorumOf(vote.charter, eligible.size)) continue
      return { subject, kind, votes: votes.map(({ entry }) => entry), voters: votes.map(({ by }) => by), place: vote.place, voices, reason: vote.reason, at: vote.at }
    }
    return undefined
  }

  /** @returns the member who acts, or why it may not */
  #author (entry: Entry): Inside | string {
    const votes = this.#settled.void.get(entry.by)
    if (votes !== undefined && !votes.some(vote => this.#ancestry.sees(vote, entry.hash))) return 'its author was revoked'
    const inside = this.#members.get(entry.by)
    const gone = this.#left.get(entry.by)
    const author = inside ?? (gone !== undefined && !this.#ancestry.sees(entry.hash, gone.entry) ? gone.member : undefined)
    if (author === undefined) return gone === undefined ? 'its author was no member' : 'its author had left'
    return this.#ancestry.sees(entry.hash, author.entry) ? author : 'its author was no member by what it cites'
  }

  #act (act: Act, entry: Entry, author: Inside): string | undefined {
    switch (act.kind) {
      case 'found': return 'the consortium is founded already'
      case 'invite': return this.#invite(act, entry)
      case 'withdraw': return this.#withdraw(act.invite, entry)
      case 'knock': return this.#knock(act.knock, entry)
      case 'admit': return this.#admit(act.peer, entry, author)
      case 'revoke': return this.#vote(act, entry, author)
      case 'leave': return this.#leave(entry, author)
      case 'amend': return this.#amend(act.charter, entry, author)
      case 'approve': return this.#approve(act.amendment, entry, author)
    }
  }

  #invite ({ key, role, from, until, uses }: Act & { kind: 'invite' }, { hash, by }: Entry): string | undefined {
    const { invitationDays } = this.#charter.governance
    // a minute for what passes between reading the clock twice
    if (until - from > invitationDays * 86_400_000 + 60_000) return `it is valid for more than the ${invitationDays} days that the charter allows`
    if (this.#revoked.has(key)) return 'it invites a revoked peer'
    this.#doors.set(hash, { id: hash, by, key, role, from, until, uses, used: [], closedBy: [], shut: false })
    return undefined
  }

  #withdraw (id: string, { hash }: Entry): string | undefined {
    const door = this.#doors.get(id)
    if (door === undefined) return 'there is no such invitation'
    door.closedBy.push(hash)
    return undefined
  }

  #knock (knock: Knock, entry: Entry): string | undefined {
    const { peer } = knock
    if (knock.net !== this.#founding.hash) return 'it knocks at another consortium'
    if (!this.#charters.has(knock.charter)) return 'it consents to a charter that this consortium never had'
    if (this.#revoked.has(peer)) return 'the newcomer was revoked before'
    if (this.#members.has(peer)) return 'the newcomer is a member already'
    const door = this.#doors.get(knock.invite)
    if (door === undefined) return 'there is no such invitation'
    if (door.used.some(use => use.peer === peer)) return 'the newcomer came in by this invitation before: it needs another'
    const closed = whyClosed(this.#asSeen(door, entry), entry.at)
    if (closed !== undefined) return `its invitation is not valid: ${closed}`
    this.#pending.set(peer, { knock, entry: entry.hash, door, at: entry.at, by: entry.by })
    // whose door it was says nothing about the newcomer: the one who gave the link did
    return this.#charter.governance.admission === 'link' ? this.#enter(peer, entry, [door.by]) : undefined
  }

  #admit (peer: string, entry: Entry, author: Inside): string | undefined {
    const member = this.#members.get(peer)
    if (member !== undefined) return this.#vouch(member, entry, author)
    const waiting = this.#pending.get(peer)
    if (waiting === undefined) return 'nobody with this peer id is at the door'
    const { door } = waiting
    if (this.#charter.governance.admission === 'second-member' && author.voice === this.voiceOf(door.by) && this.#voices().size > 1) return 'the charter wants a yes from somebody else than the one who invited'
    const { withdrawn, used } = this.#asSeen(door, entry)
    if (withdrawn || used.length >= door.uses) return 'its invitation is withdrawn or used up'
    // a link for many was not given to this one
    return this.#enter(peer, entry, door.uses === 1 ? [entry.by, door.by] : [entry.by])
  }

  /** A second yes, or the founder's, which gives a member a voice of its own. */
  #vouch (member: Inside, entry: Entry, author: Inside): string | undefined {
    if (member.role === 'client' || member.voice === member.peer || (author.voice === member.voice && author.peer !== this.#founding.by) || !this.#voices().has(author.voice)) return 'it is a member already'
    this.#members.set(member.peer, { ...member, voice: member.peer })
    this.#arrivals.push({ peer: member.peer, entry: entry.hash, place: this.#place })
    return undefined
  }

  /** @param consents - members who said yes to this newcomer */
  #enter (peer: string, entry: Entry, consents: readonly [string, ...string[]]): string | undefined {
    const { knock, door } = this.#pending.get(peer) as Waiting
    if (this.#settled.lost.has(entry.hash)) return 'its invitation was used up by somebody on whom more members have built'
    if (door.used.length >= door.uses) {
      const [rival] = door.used.filter(use => this.#hasMoreBehind(entry, use))
      if (rival !== undefined) this.lost.add(rival.entry)
      return 'its invitation was used up meanwhile'
    }
    const voices = this.#voices()
    const behind = new Set(consents.map(member => this.voiceOf(member)).filter(voice => voices.has(voice)))
    // the founder chooses whom to found it with
    const own = behind.size > 1 || (consents.includes(this.#founding.by) && (door.uses === 1 || entry.by === this.#founding.by))
    door.used.push({ peer, entry: entry.hash, by: entry.by })
    this.#pending.delete(peer)
    this.#left.delete(peer)
    this.#names.set(peer, knock.name)
    this.#members.set(peer, { peer, name: knock.name, role: door.role, invitedBy: door.by, admittedBy: entry.by, since: entry.at, voice: own ? peer : this.voiceOf(consents[0]), entry: entry.hash, place: this.#place })
    if (own && door.role === 'member') this.#arrivals.push({ peer, entry: entry.hash, place: this.#place })
    return undefined
  }

  /** Of two that came in by one use on two sides of a partition: whether more of those whom both knew have built on the later. */
  #hasMoreBehind (entry: Entry, rival: { readonly entry: string, readonly by: string }): boolean {
    const behind = (one: string, other: string): number => new Set(this.#entries.filter(({ hash, by }) => {
      if (by === entry.by || by === rival.by || !this.#ancestry.sees(hash, one) || this.#ancestry.sees(hash, other)) return false
      const member = this.#members.get(by)
      return member !== undefined && this.#ancestry.sees(one, member.entry) && this.#ancestry.sees(other, member.entry)
    }).map(({ by }) => by)).size
    return behind(entry.hash, rival.entry) > behind(rival.entry, entry.hash)
  }

  #vote (act: Act & { kind: 'revoke' }, entry: Entry, author: Inside): string | undefined {
    if (this.#revoked.has(act.peer)) return 'it is revoked already'
    if (!this.#names.has(act.peer)) return 'there is no such member'
    if (act.peer === entry.by) return 'a member does not revoke itself: it leaves'
    const votes = this.#votes.get(act.peer) ?? new Map<string, Vote>()
    if (votes.has(entry.by)) return 'its author has voted so before'
    const why = this.#cast(votes, entry, author, act.reason)
    if (votes.size > 0) this.#votes.set(act.peer, votes)
    return why
  }

  #leave (entry: Entry, author: Inside): string | undefined {
    if (!this.#members.has(entry.by)) return 'its author has left already'
    this.#members.delete(entry.by)
    this.#left.set(entry.by, { member: author, entry: entry.hash })
    for (const door of this.#doors.values()) if (door.by === entry.by) door.closedBy.push(entry.hash)
    return undefined
  }

  #amend (charter: ConsortiumCharter, entry: Entry, author: Inside): string | undefined {
    if (charter.version !== this.#charter.version + 1) return `it amends version ${charter.version - 1}, the charter is at ${this.#charter.version}`
    const motion = { charter, by: entry.by, approvals: new Map<string, Vote>() }
    const why = this.#cast(motion.approvals, entry, author)
    if (why === undefined) this.#motions.set(entry.hash, motion)
    return why
  }

  #approve (amendment: string, entry: Entry, author: Inside): string | undefined {
    const motion = this.#motions.get(amendment)
    if (motion === undefined) return 'there is no such amendment, or it is decided'
    if (motion.approvals.has(entry.by)) return 'its author has approved it before'
    return this.#cast(motion.approvals, entry, author)
  }

  #cast (votes: Map<string, Vote>, entry: Entry, author: Inside, reason = ''): string | undefined {
    const eligible = this.#voices()
    if (!eligible.has(author.voice) && author.voice !== author.peer) return 'its author has no voice yet: a second member has to admit it'
    votes.set(entry.by, { entry: entry.hash, by: entry.by, voice: author.voice, place: this.#place, eligible, charter: this.#charter, reason, at: entry.at })
    return undefined
  }

  #carryOut ({ kind, subject, voters, reason, at }: Decision): void {
    if (kind === 'amend') {
      const motion = this.#motions.get(subject)
      if (motion === undefined) return
      this.#charter = motion.charter
      this.#charters.add(consortiumHash(motion.charter))
      this.#motions.clear() // all were for the version before
      return
    }
    this.#revoked.set(subject, { peer: subject, name: this.#names.get(subject) ?? '', reason, by: voters, at })
    this.#members.delete(subject)
    this.#left.delete(subject)
    this.#votes.delete(subject)
    this.#pending.delete(subject)
    // what it left open is closed: its links may be in anybody's hands
    for (const door of this.#doors.values()) if (door.by === subject || door.key === subject) door.shut = true
  }

  #asSeen (door: Door, { hash }: Entry): Invitation {
    return { ...invitationOf(door), withdrawn: door.shut || door.closedBy.some(by => this.#ancestry.sees(hash, by)), used: door.used.filter(use => this.#ancestry.sees(hash, use.entry)).map(({ peer }) => peer) }
  }

  #proposals (): Proposal[] {
    const needed = quorumOf(this.#charter, this.#voices().size)
    return [...this.#motions].map(([amendment, { charter, by, approvals }]) => ({ amendment, charter, by, approvals: [...approvals.keys()], needed }))
  }

  #voices (): Set<string> {
    return new Set([...this.#members.values()].filter(({ role, voice, peer }) => role === 'member' && voice === peer).map(({ peer }) => peer))
  }
}

function invitationOf ({ closedBy, shut, used, ...door }: Door): Invitation {
  return { ...door, used: used.map(({ peer }) => peer), withdrawn: shut || closedBy.length > 0 }
}
