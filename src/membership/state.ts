/** What follows from a member log: who is in, who knocks, who was expelled. */
import type { ConsortiumCharter } from './consortium.ts'
import type { MemberRole } from './entry.ts'
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
  /**
   * With whom its voice counts. A member that one member alone let in speaks with that one's voice, so that nobody gets a
   * quorum by letting in itself; it has its own (its peer id) as soon as another says yes to it too.
   */
  readonly voice: string
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

/** Signatures that a decision needs, of so many that may sign. */
export function quorumOf (charter: ConsortiumCharter, eligible: number): number {
  const { quorum } = charter.governance
  return quorum === 'majority' ? Math.floor(eligible / 2) + 1 : Math.max(1, Math.min(quorum, eligible))
}

/** Why an invitation opens no door at `now`; undefined if it does. */
export function whyClosed (invitation: Pick<Invitation, 'withdrawn' | 'used' | 'uses' | 'from' | 'until'>, now: number): string | undefined {
  if (invitation.withdrawn) return 'it was withdrawn'
  if (invitation.used.length >= invitation.uses) return `it is used up (${invitation.uses} of ${invitation.uses})`
  if (now > invitation.until + CLOCK_TOLERANCE_MS) return `it expired at ${new Date(invitation.until).toISOString()}`
  if (now < invitation.from - CLOCK_TOLERANCE_MS) return `it is not valid before ${new Date(invitation.from).toISOString()}; compare the clocks`
  return undefined
}
