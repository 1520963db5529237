/** Who a home is in its consortium: the one way in for commands and for a node that starts. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { Membership } from './membership.ts'
import { consortiumFiles } from '../store/member-store.ts'
import { loadOrCreateIdentity, signerOf } from '../store/identity.ts'
import type { Ed25519PrivateKey } from '@libp2p/interface'

export interface Member { readonly membership: Membership, readonly privateKey: Ed25519PrivateKey }

/**
 * @returns undefined where the home is of no consortium; then no identity is made either
 * @throws {FmtlError} the identity or the member log cannot be read
 */
export async function memberAt (home: string): Promise<Member | undefined> {
  if (!existsSync(consortiumFiles(home).members)) return undefined
  const privateKey = await loadOrCreateIdentity(join(home, 'identity'))
  const membership = await Membership.open(home, signerOf(privateKey))
  return membership === undefined ? undefined : { membership, privateKey }
}
