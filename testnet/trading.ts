/** What sites that trade models made of each other's, gathered from their events: for the summary of a run. */
import { meanOf } from './figures.ts'
import type { Explanation } from '../src/bench/peer-trainer.ts'
import type { NodeEvent } from '../node/events.ts'

export interface SummaryTrader {
  readonly node: string
  /** Models that it has offered, and the newest version of them. */
  readonly offered: number
  readonly version: number
  /** Models of others on its bench, and how many it did not take. */
  readonly taken: number
  readonly refused: number
  /** How often it has chosen. */
  readonly choices: number
  /** Of the members of its committees, its own. */
  readonly ownShare: number | null
  /** Hold-out of its committees at the first choice and at the last, mean over its tasks. */
  readonly firstHoldout: number | null
  readonly holdout: number | null
}

export interface SummaryTrading {
  readonly traders: readonly SummaryTrader[]
  /** Refusals, by node: the last few, with their reasons. */
  readonly refusals: ReadonlyArray<{ readonly node: string, readonly peer: string, readonly modelId?: string, readonly reason: string }>
}

interface Trader {
  readonly offers: Map<string, number>
  readonly taken: Set<string>
  readonly refused: Set<string>
  choices: number
  first: number | null
  last: Explanation | undefined
}

/** More say no more about what is wrong. */
const REFUSALS_KEPT = 20

export class TradingTally {
  readonly #traders = new Map<string, Trader>()
  #refusals: Array<SummaryTrading['refusals'][number]> = []

  add (event: NodeEvent): void {
    switch (event.type) {
      case 'card:published':
        this.#of(event.node).offers.set(event.modelId, event.version)
        return
      case 'model:considered': return this.#judged(event.node, event.peer, event.modelId, event.kept ? undefined : event.reason)
      case 'card:refused': return this.#judged(event.node, event.peer, event.modelId, event.reason)
      case 'committee': {
        const trader = this.#of(event.node)
        trader.choices++
        trader.first ??= holdoutOf(event.explanation)
        trader.last = event.explanation
      }
    }
  }

  /** Undefined where nobody traded. */
  build (name: (text: string) => string): SummaryTrading | undefined {
    if (this.#traders.size === 0) return undefined
    return {
      traders: [...this.#traders].map(([node, { offers, taken, refused, choices, first, last }]) => {
        const members = last?.tasks.flatMap(({ members }) => members) ?? []
        return {
          node,
          offered: offers.size,
          version: Math.max(0, ...offers.values()),
          taken: taken.size,
          refused: refused.size,
          choices,
          ownShare: members.length === 0 ? null : members.filter(({ own }) => own).length / members.length,
          firstHoldout: first,
          holdout: last === undefined ? null : holdoutOf(last)
        }
      }),
      refusals: this.#refusals.map(({ peer, reason, ...rest }) => ({ ...rest, peer: name(peer), reason: name(reason) }))
    }
  }

  #judged (node: string, peer: string, modelId: string | undefined, refusal: string | undefined): void {
    const { taken, refused } = this.#of(node)
    const key = `${peer} ${modelId ?? ''}`
    if (refusal === undefined) {
      taken.add(key)
      refused.delete(key)
      return
    }
    if (!taken.has(key)) refused.add(key)
    this.#refusals = [...this.#refusals, { node, peer, ...modelId === undefined ? {} : { modelId }, reason: refusal }].slice(-REFUSALS_KEPT)
  }

  #of (node: string): Trader {
    const found = this.#traders.get(node)
    if (found !== undefined) return found
    const trader: Trader = { offers: new Map(), taken: new Set(), refused: new Set(), choices: 0, first: null, last: undefined }
    this.#traders.set(node, trader)
    return trader
  }
}

function holdoutOf ({ tasks }: Explanation): number | null {
  const known = tasks.map(({ accuracy }) => accuracy).filter(Number.isFinite)
  return known.length === 0 ? null : meanOf(known)
}
