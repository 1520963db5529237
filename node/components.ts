/** What a running node offers to the protocols: to members everything, to a newcomer the door, to anybody else nothing. */
import { KNOCK_PROTOCOL } from '../protocols/knock/index.ts'
import type { Libp2p } from '@libp2p/interface'
import type { ProtocolComponents } from '../protocols/components.ts'
import type { Node } from './libp2p.ts'

/** Who is who, for the check at every handler: the gate has let a connection in, and much may have changed since. */
export interface Walls {
  allows (peer: string): boolean
}

export function components (node: Node, walls?: Walls): ProtocolComponents {
  return {
    peerId: node.peerId,
    logger: node.logger,
    network: walls === undefined ? node : walled(node, walls),
    pubsub: node.services.pubsub,
    overBudget: new Map(),
    ...walls === undefined ? {} : { hears: (peer: string) => walls.allows(peer) }
  }
}

function walled (node: Node, walls: Walls): ProtocolComponents['network'] {
  const handle: Libp2p['handle'] = async (protocol, handler, options) => {
    await node.handle(protocol, async (stream, connection) => {
      const peer = connection.remotePeer.toString()
      if (protocol !== KNOCK_PROTOCOL && !walls.allows(peer)) {
        stream.abort(new Error(`${peer} is no member`))
        return
      }
      await handler(stream, connection)
    }, options)
  }
  return {
    handle,
    unhandle: async (protocol, options) => { await node.unhandle(protocol, options) },
    dial: async (peer, options) => await node.dial(peer, options),
    dialProtocol: async (peer, protocols, options) => await node.dialProtocol(peer, protocols, options),
    peerStore: node.peerStore
  }
}
