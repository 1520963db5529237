/** Peers that tell their addresses on a topic can be dialled by their id from then on. */
import { KEEP_ALIVE } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { REQUEST_TIMEOUT_MS } from './limits.ts'
import type { ProtocolComponents } from './components.ts'

/**
 * @param connect - undefined: not at all; else under this tag, so that the connection manager opens a lost connection again,
 * and the mesh outlives the bootstrap peer
 * @returns when its addresses are kept; the dial goes on without
 */
export async function acquaint ({ network, logger }: Pick<ProtocolComponents, 'network' | 'logger'>, peer: string, addresses: readonly string[], connect: string | undefined): Promise<void> {
  const id = peerIdFromString(peer)
  // replaced, not added: a peer that came back on another port has no other address any more
  await network.peerStore.patch(id, { multiaddrs: addresses.map(address => multiaddr(address)) }, { signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) })
  if (connect === undefined) return
  await network.peerStore.merge(id, { tags: { [`${KEEP_ALIVE}-fmtl-${connect}`]: {} } })
  void network.dial(id).catch(err => { logger.forComponent(`fmtl:${connect}`)('dial %s: %e', peer, err) })
}

/** Whether this is an address, and of nobody else than this peer. */
export function leadsTo (address: string, peer: string): boolean {
  try {
    const target = multiaddr(address).getComponents().findLast(({ name }) => name === 'p2p')?.value
    return target == null || target === peer
  } catch {
    return false
  }
}
