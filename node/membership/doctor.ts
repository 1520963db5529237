/** For `doctor`, in a home whose node does not run: who it is among the members, and where they were seen last. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Membership } from './membership.ts'
import { addressesToAsk } from '../network/examine.ts'
import { consortiumFiles } from '../store/member-store.ts'
import { loadOrCreateIdentity, signerOf } from '../store/identity.ts'
import type { MembershipOf } from '../cli/doctor.ts'

/** @throws {FmtlError} the consortium of this home cannot be read */
export const membershipOf: MembershipOf = async home => {
  if (!existsSync(consortiumFiles(home).members)) return undefined
  const privateKey = await loadOrCreateIdentity(join(home, 'identity'))
  const membership = await Membership.open(home, signerOf(privateKey))
  if (membership === undefined) return undefined
  const peers = Object.entries(await membership.store.peers()).filter(([peer]) => peer !== membership.signer.peer && membership.allows(peer))
  return { membership: { privateKey, networkKey: membership.networkKey }, peers: addressesToAsk(peers.map(([, addresses]) => addresses)) }
}
