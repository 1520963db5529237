/** What a status needs to know of the consortium, read from the member log's state. */
import type { MembershipState } from '../../src/membership/index.ts'

export interface MembershipFacts {
  /** Its name. */
  readonly consortium: string
  readonly state: 'member' | 'pending' | 'outside' | 'revoked'
  /** Hash of the consortium's charter, and over its member set: equal at two peers that let the same ones in. */
  readonly charterHash: string
  readonly digest: string
  readonly members: ReadonlyArray<{ readonly peer: string, readonly name: string, readonly role: 'member' | 'client' }>
  /** Since when it has been at the door, by the clock of the member who met it, ms. */
  readonly pendingSince?: number
  /** Of the revocation. */
  readonly reason?: string
}

export function membershipFacts (state: MembershipState, self: string): MembershipFacts {
  const pending = state.pending.get(self)
  const revoked = state.revoked.get(self)
  return {
    consortium: state.charter.name,
    state: state.members.has(self) ? 'member' : revoked !== undefined ? 'revoked' : pending !== undefined ? 'pending' : 'outside',
    charterHash: state.charterHash,
    digest: state.digest,
    members: [...state.members.values()].map(({ peer, name, role }) => ({ peer, name, role })),
    ...pending === undefined ? {} : { pendingSince: pending.at },
    ...revoked === undefined ? {} : { reason: revoked.reason }
  }
}
