/** What the protocols take from a node, and no more. */
import type { PubSub } from './pubsub.ts'
import type { ComponentLogger, Libp2p, PeerId } from '@libp2p/interface'

export interface ProtocolComponents {
  peerId: PeerId
  logger: ComponentLogger
  network: Pick<Libp2p, 'handle' | 'unhandle' | 'dial' | 'dialProtocol' | 'peerStore'>
  pubsub: PubSub
  /** Whether what this peer publishes is listened to. Default: everybody's. */
  hears?: (peer: string) => boolean
  /** Protocol -> requests that were turned away, as their peer had used up its budget. Counted where it is given. */
  overBudget?: Map<string, number>
}
