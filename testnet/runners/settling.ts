/**
 * When a testnet of peers that trade models has come to rest: everybody who is there has looked at the newest version of every
 * model that somebody offered, has chosen from what it then had, and has said what that scores. Read from their events.
 */
import { Waiters } from '../../node/waiters.ts'
import type { NodeEvent } from '../../node/events.ts'

interface Peer {
  /** Newest version of each model that it offers. */
  readonly offers: Map<string, number>
  /** peer and model -> version that it has looked at. */
  readonly judged: Map<string, number>
  /** It has something that its last committee was not chosen from, or has not said what that one scores. */
  state: 'changed' | 'chosen' | 'told'
}

export class Settling {
  readonly #peers = new Map<string, Peer>()
  /** peer id -> node. */
  readonly #nodes = new Map<string, string>()
  readonly #waiters = new Waiters()

  add (event: NodeEvent): void {
    switch (event.type) {
      case 'node:started':
        this.#nodes.set(event.peer, event.node)
        break
      case 'card:published':
        this.#of(event.node).offers.set(event.modelId, event.version)
        this.#of(event.node).state = 'changed'
        break
      case 'card:refused': case 'model:considered': {
        const { peer, modelId, version } = event
        if (modelId === undefined || version === undefined) return
        const { judged } = this.#of(event.node)
        judged.set(keyOf(this.#nodes.get(peer) ?? peer, modelId), version)
        if (event.type === 'model:considered' && event.kept) this.#of(event.node).state = 'changed'
        break
      }
      case 'committee':
        this.#of(event.node).state = (event.pending ?? 0) > 0 ? 'changed' : 'chosen'
        break
      case 'report': {
        const peer = this.#of(event.node)
        if (peer.state === 'chosen') peer.state = 'told'
        break
      }
      default: return
    }
    this.#waiters.wake()
  }

  /** @param there - nodes that are still running @throws the signal's reason */
  async rest (there: () => readonly string[], signal: AbortSignal): Promise<void> {
    await this.#waiters.until(() => this.restless(there()).length === 0, signal)
  }

  /** Nodes that are not done with what others offer, and how many models each has not looked at. */
  restless (there: readonly string[]): ReadonlyArray<{ readonly node: string, readonly models: number }> {
    return there.flatMap(node => {
      const { judged, state } = this.#of(node)
      const models = there.filter(other => other !== node).reduce((sum, other) => sum + [...this.#of(other).offers].filter(([model, version]) => (judged.get(keyOf(other, model)) ?? 0) < version).length, 0)
      return models === 0 && state === 'told' ? [] : [{ node, models }]
    })
  }

  #of (node: string): Peer {
    const found = this.#peers.get(node)
    if (found !== undefined) return found
    const peer: Peer = { offers: new Map(), judged: new Map(), state: 'changed' }
    this.#peers.set(node, peer)
    return peer
  }
}

/** Neither names of nodes nor of models have line breaks. */
function keyOf (node: string, model: string): string { return `${node}\n${model}` }
