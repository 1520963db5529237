/** For `doctor`, in a home whose node does not run: who it is among the members, and where they were seen last. */
import { addressesToAsk } from '../network/examine.ts'
import { memberAt } from './home.ts'
import type { MembershipOf } from '../cli/doctor.ts'

/** @throws {FmtlError} the consortium of this home cannot be read */
export const membershipOf: MembershipOf = async home => {
  const member = await memberAt(home)
  if (member === undefined) return undefined
  const { membership, privateKey } = member
  const peers = Object.entries(await membership.store.peers()).filter(([peer]) => peer !== membership.signer.peer && membership.allows(peer))
  return { membership: { privateKey, networkKey: membership.networkKey }, peers: addressesToAsk(peers.map(([, addresses]) => addresses)) }
}
