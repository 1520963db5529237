/** A node's ledger in its home: the signed chain, and the deltas that its rounds took. */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { DeltaStore } from './store/delta-store.ts'
import { LedgerStore } from './store/ledger-store.ts'
import { NONE } from '../src/ledger/index.ts'
import { canonicalJson } from '../src/models/spec.ts'
import { whenThereIsSpace } from './store/durable.ts'
import type { Charter } from '../src/federation/charter.ts'
import type { LedgerAct, LedgerContext } from '../src/ledger/index.ts'
import type { PackedDelta } from '../src/federation/exchange.ts'
import type { RoundReport } from '../src/backbone/frames.ts'
import type { MembershipState, Signer } from '../src/membership/index.ts'

export const LEDGER_FILE = 'ledger.log'
export const DELTA_FOLDER = 'deltas'

export interface AppendOptions {
  /** What the act names and is to be kept. */
  readonly deltas?: readonly PackedDelta[]
  readonly signal: AbortSignal
  /** Told while the disk is full. */
  readonly onWaiting: (reason: string) => void
}

/** What the roles write down. `append` returns when it would outlive a power cut. */
export interface Ledger {
  append (act: LedgerAct, options: AppendOptions): Promise<void>
}

export interface NodeLedgerInit {
  readonly home: string
  readonly signer: Signer
  /** Under what the next entry is written. */
  readonly context: () => LedgerContext
  /** Rounds whose deltas are kept. Default 20, as in `Safeguards`. */
  readonly retainRounds?: number
  readonly now?: () => number
  /** Told, in one line, what was cut off. */
  readonly onNotice?: (line: string) => void
}

const RETAIN_ROUNDS = 20

export class NodeLedger implements Ledger {
  readonly #store: LedgerStore
  readonly #deltas: DeltaStore
  readonly #context: () => LedgerContext

  private constructor (store: LedgerStore, deltas: DeltaStore, context: () => LedgerContext) {
    this.#store = store
    this.#deltas = deltas
    this.#context = context
  }

  /**
   * @throws {LedgerDamage | DataError} the ledger is damaged, or another node's
   * @throws {ResourceError} it cannot be read or made
   */
  static async open ({ home, signer, context, retainRounds = RETAIN_ROUNDS, now, onNotice }: NodeLedgerInit): Promise<NodeLedger> {
    const deltas = new DeltaStore(join(home, DELTA_FOLDER), retainRounds)
    const store = await LedgerStore.open(join(home, LEDGER_FILE), {
      signer,
      onEntry: entry => { if (entry.kind === 'round') deltas.note(entry.round, entry.merged) },
      ...now === undefined ? {} : { now },
      ...onNotice === undefined ? {} : { onNotice }
    })
    await deltas.prune()
    return new NodeLedger(store, deltas, context)
  }

  async append (act: LedgerAct, { deltas = [], signal, onWaiting }: AppendOptions): Promise<void> {
    const wait = { signal, onWaiting }
    await whenThereIsSpace(async () => { await this.#deltas.keep(deltas) }, wait)
    await whenThereIsSpace(async () => await this.#store.append(act, this.#context()), wait)
    if (act.kind !== 'round') return
    this.#deltas.note(act.round, act.merged)
    await this.#deltas.prune()
  }

  async close (): Promise<void> { await this.#store.close() }
}

/** What host and clients name a round's report by: the same on both ends of a connection. */
export function reportHash (report: RoundReport): string { return sha256(canonicalJson(report)) }

/** Of a node that belongs to no consortium. */
export function lonelyContext (charter: Charter): LedgerContext {
  return { net: NONE, members: NONE, charter: sha256(canonicalJson(charter)) }
}

/** Under what a member's entries are written. */
export function memberContext ({ id, state: { digest, charterHash } }: { readonly id: string, readonly state: Pick<MembershipState, 'digest' | 'charterHash'> }): LedgerContext {
  return { net: id, members: digest, charter: charterHash }
}

function sha256 (text: string): string { return createHash('sha256').update(text).digest('hex') }
