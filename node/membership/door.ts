/**
 * A member's door: what a newcomer is told who connected as an identity that an open invitation names. The charter, then,
 * for its signed knock, whether it is in. A knock is written into the member log, so that every member sees who waits.
 */
import { ProtocolError } from '../../src/errors.ts'
import { decodeKnock } from '../../src/membership/index.ts'
import { encodeCanonical } from '../../src/membership/encoding.ts'
import { pageOf } from '../../protocols/membership/index.ts'
import type { KnockAnswer } from '../../protocols/knock/index.ts'
import type { Membership } from './membership.ts'

/** The first page of the log: the newcomer asks for the rest as a member. */
const FIRST_ENTRIES = 64
/** Newcomers who may wait with one invitation beyond its uses: a link that is in many hands must not fill the log. */
const SPARE_KNOCKS = 3

export async function answerKnock (membership: Membership, bytes: Uint8Array | undefined, from: string, addresses: () => readonly string[]): Promise<KnockAnswer> {
  const { charter, members, pending } = membership.state
  if (bytes === undefined) return { charter: encodeCanonical(charter) }
  const knock = decodeKnock(bytes)
  if (members.has(knock.peer)) {
    return { status: 'admitted', entries: pageOf(membership.entries().slice(0, FIRST_ENTRIES)), addresses: addresses() }
  }
  const invitation = membership.door(from)
  if (invitation?.id !== knock.invite) throw new ProtocolError(`the invitation that you name is not the one that let you in: ${membership.whyNot(from)}`, { code: 'ERR_REFUSED' })
  if (knock.charter !== membership.state.charterHash) throw new ProtocolError('the charter has changed since you read it: read it again', { code: 'ERR_CHARTER' })
  const waiting = pending.get(knock.peer)
  // the same newcomer asks again: nothing new to write down
  if (waiting?.knock.invite !== knock.invite || waiting.knock.charter !== knock.charter) {
    const others = [...pending.values()].filter(({ knock: { invite, peer } }) => invite === knock.invite && peer !== knock.peer).length
    if (others >= invitation.uses + SPARE_KNOCKS) throw new ProtocolError('too many newcomers wait with this invitation already', { code: 'ERR_BUSY' })
    await membership.act({ kind: 'knock', knock })
  }
  return membership.state.members.has(knock.peer) ? await answerKnock(membership, bytes, from, addresses) : { status: 'pending' }
}
