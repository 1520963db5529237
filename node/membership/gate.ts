/** Who a connection is kept with: members, and newcomers whom an open invitation names. */
import type { ConnectionGate } from '../network/gate.ts'
import type { Membership } from './membership.ts'

export function gateOf (membership: Membership): ConnectionGate {
  return { allows: peer => membership.allows(peer) || membership.door(peer) !== undefined, whyNot: peer => membership.whyNot(peer) }
}
