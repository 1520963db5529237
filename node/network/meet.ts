/** Everything that lets members reach each other, of a running node: found ones are dialled, and relays used or offered. */
import { Reachability } from './reach.ts'
import { meetFound } from './discovery.ts'
import type { Node } from '../libp2p.ts'
import type { ReachInit, ReachState } from './reach.ts'

export interface Meeting {
  /** Whether others can dial this node, as far as members have said. */
  readonly state: ReachState
  stop (): Promise<void>
}

export async function meet (node: Node, init: ReachInit): Promise<Meeting> {
  const reachability = new Reachability(node, init)
  const unmeet = meetFound(node)
  await reachability.start()
  return {
    get state () { return reachability.state },
    stop: async () => {
      unmeet()
      await reachability.stop()
    }
  }
}
