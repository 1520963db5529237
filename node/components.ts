/** What a running node offers to the protocols. */
import type { ProtocolComponents } from '../protocols/components.ts'
import type { Node } from './libp2p.ts'

export function components (node: Node): ProtocolComponents {
  return { peerId: node.peerId, logger: node.logger, network: node, pubsub: node.services.pubsub }
}
