/** How hosts of one backbone pass each other their round deltas. The network does it by gossip and blobs, the simulator here. */
import type { CodecName } from '../compression/index.ts'
import type { TaskLoss } from '../backbone/frames.ts'
import type { Units } from '../training/host-trainer.ts'

/** A delta as it travels. */
export interface PackedDelta {
  /** sha-256 of the payload, hex. */
  readonly cid: string
  readonly codec: CodecName
  readonly payload: Uint8Array
}

export interface RoundDelta {
  readonly host: string
  readonly round: number
  /** Clients that contributed; the weight of this delta in the mean. */
  readonly clients: number
  readonly samples: number
  readonly losses: readonly TaskLoss[]
  readonly norm: number
  readonly units: Units
  /** What its host holds as agreed on in the round before, by hash (src/training/merge.ts). */
  readonly history?: string
  /** Where it came over a network. */
  readonly packed?: PackedDelta
}

export interface Collected {
  /** The newest delta of each other host, sorted by host. */
  readonly deltas: readonly RoundDelta[]
  /** Hosts that were waited for in vain, with the reason. */
  readonly missing: readonly string[]
}

export interface DeltaExchange {
  /** Resolves when `peers` other hosts of this backbone are known. */
  ready (peers: number, options: { signal: AbortSignal }): Promise<void>
  /** @returns what has been sent, where there is a network */
  publish (delta: RoundDelta, options: { signal: AbortSignal }): Promise<PackedDelta | undefined>
  /** Waits until every other live host has published `round`, at most `deadlineMs`. */
  collect (round: number, options: { deadlineMs: number, signal: AbortSignal }): Promise<Collected>
}

/** One process, no network, nobody late. */
export class ExchangeHub {
  readonly #hosts: readonly string[]
  readonly #deltas = new Map<string, RoundDelta>()
  readonly #waiting = new Set<() => void>()

  constructor (hosts: readonly string[]) { this.#hosts = hosts }

  exchangeOf (host: string): DeltaExchange {
    const others = this.#hosts.filter(other => other !== host).sort()
    const arrived = (round: number): boolean => others.every(other => this.#deltas.has(`${other}@${round}`))
    return {
      ready: async () => {},
      publish: async delta => {
        this.#deltas.set(`${host}@${delta.round}`, delta)
        // A round is read by all before anybody can be two rounds on.
        this.#deltas.delete(`${host}@${delta.round - 2}`)
        for (const wake of [...this.#waiting]) wake()
        return undefined
      },
      collect: async round => {
        while (!arrived(round)) {
          await new Promise<void>(resolve => {
            const wake = (): void => {
              this.#waiting.delete(wake)
              resolve()
            }
            this.#waiting.add(wake)
          })
        }
        return { deltas: others.map(other => this.#deltas.get(`${other}@${round}`) as RoundDelta), missing: [] }
      }
    }
  }
}
