/**
 * Where the members agree on how to split their tasks, without a server. Each tells what it has to tell (a client its row, a
 * host who took part), waits for the others until a deadline, computes the partition, and claims it. Who computed another
 * one than most fetches the rows that most computed from. Waits have a reason; what was said is said again for those who come late.
 */
import { DecodeError, InvalidParametersError, ProtocolError } from '../../src/errors.ts'
import { Waiters } from '../waiters.ts'
import { MAX_PEERS } from '../../protocols/limits.ts'
import { mergeId, partitionOfRows } from './rows.ts'
import { ranked } from './claims.ts'
import type { AffinityClaim, AffinityMessage, AffinityRow, AffinityService, RowReference } from '../../protocols/affinity/index.ts'
import type { Candidate } from './claims.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { TaskPartition } from '../../src/federation/groups.ts'

export type SplitPort = Pick<AffinityService, 'publish' | 'onMessage' | 'provide' | 'fetch'>

/** What is kept of an agreement: everything else follows from it. */
export interface Agreed {
  readonly rows: readonly AffinityRow[]
  /** Host -> the clients that took part there. */
  readonly rolls: ReadonlyMap<string, readonly string[]>
}

export interface Agreement extends Agreed {
  readonly partition: TaskPartition
}

export interface SplitMeetingInit {
  readonly self: string
  /** Of all phases; its `clock.roundDeadlineMs` is the longest wait for rows, and again for claims. */
  readonly charter: Charter
  /** Other hosts that are announced and serve somebody, whose rolls are waited for. */
  readonly hosts: () => readonly string[]
  readonly onWaiting: (reason: string) => void
  readonly onProblem: (line: string) => void
  /** Time after which everything is said again, ms. Default 2 000. */
  readonly againMs?: number
}

/** Budgets in protocols/limits.ts are made for it. */
const AGAIN_MS = 2_000
/** A row comes from a peer that was heard of a moment ago. */
const FETCH_MS = 5_000

interface Held { readonly row: AffinityRow, readonly reference: RowReference }

export class SplitMeeting {
  readonly #port: SplitPort
  readonly #init: SplitMeetingInit
  readonly #merge: string
  /** site -> its rows, in the order in which they came. */
  readonly #rows = new Map<string, Held[]>()
  readonly #rolls = new Map<string, readonly string[]>()
  readonly #claims = new Map<string, AffinityClaim>()
  readonly #waiters = new Waiters()
  readonly #end: () => void
  readonly #timer: NodeJS.Timeout

  constructor (port: SplitPort, init: SplitMeetingInit) {
    this.#port = port
    this.#init = init
    this.#merge = mergeId(init.charter)
    this.#end = port.onMessage((message, from) => { this.#hear(message, from) })
    this.#timer = setInterval(() => { this.#sayAgain() }, init.againMs ?? AGAIN_MS)
  }

  /** A client's part. */
  tellRow (row: AffinityRow): void {
    this.#hear({ row }, this.#init.self)
    this.#say({ row })
  }

  /** A host's part. */
  tellRoll (clients: readonly string[]): void {
    const roll = { charter: this.#merge, clients: clients.slice(0, MAX_PEERS) }
    this.#hear({ roll }, this.#init.self)
    this.#say({ roll })
  }

  /** After a restart: what was agreed on is said again. */
  resume (agreed: Agreed): Agreement {
    for (const [host, clients] of agreed.rolls) this.#rolls.set(host, clients)
    return this.#claim(agreed.rows.map(row => this.#hold(row)))
  }

  /**
   * The partition that this peer goes on with. The deadline for rows runs from here, so it is called when this peer has told
   * all that it has to tell, or has heard a claim (`claimed`).
   * @throws the signal's reason
   */
  async decide (signal: AbortSignal): Promise<Agreement> {
    await this.#until(() => this.#absent(), 'the affinities of', signal)
    const own = this.#claim(this.#counted())
    await this.#until(() => [...new Set([...own.rows.map(({ site }) => site), ...this.#rolls.keys()])].filter(peer => !this.#claims.has(peer)), 'the partition that follows for', signal)
    this.#init.onWaiting('')
    for (const candidate of ranked(this.#claims)) {
      if (candidate.partition === own.partition.hash) return own
      const found = await this.#check(candidate, signal)
      if (found !== undefined) return found
    }
    return own
  }

  /** Resolves when somebody has claimed a partition. */
  async claimed (signal: AbortSignal): Promise<void> {
    await this.#waiters.until(() => this.#claims.size > 0, signal)
  }

  stop (): void {
    clearInterval(this.#timer)
    this.#end()
    this.#waiters.wake()
  }

  #hear (message: AffinityMessage, from: string): void {
    if ('row' in message) this.#hold(message.row)
    else if ('roll' in message) keep(this.#rolls, from, message.roll.clients)
    else keep(this.#claims, from, message.claim)
    this.#waiters.wake()
  }

  #hold (row: AffinityRow): Held {
    const reference = this.#port.provide(row)
    const rows = this.#rows.get(row.site) ?? []
    const known = rows.find(held => held.reference.hash === reference.hash)
    if (known !== undefined) return known
    const held = { row, reference }
    keep(this.#rows, row.site, [...rows, held])
    return held
  }

  /** Of everybody who took part the row that came first; where no host has said who did, of everybody. */
  #counted (): Held[] {
    const clients = new Set([...this.#rolls.values()].flat())
    return [...this.#rows].flatMap(([site, [first]]) => first !== undefined && (clients.size === 0 || clients.has(site)) ? [first] : [])
  }

  /** Who has not spoken yet. */
  #absent (): string[] {
    const clients = [...this.#rolls.values()].flat().filter(client => !this.#rows.has(client))
    const hosts = this.#init.hosts().filter(host => !this.#rolls.has(host))
    return [...new Set([...clients, ...hosts])]
  }

  #claim (held: readonly Held[]): Agreement {
    const sorted = held.toSorted((a, b) => a.row.site < b.row.site ? -1 : 1)
    const rows = sorted.map(({ row }) => row)
    const partition = partitionOfRows(this.#init.charter, rows)
    const claim = { charter: this.#merge, partition: partition.hash, rows: sorted.map(({ reference }) => reference) }
    this.#claims.set(this.#init.self, claim)
    this.#say({ claim })
    return { partition, rows, rolls: new Map(this.#rolls) }
  }

  /** Whether a partition that others claim follows from the rows that they name; then it is claimed here too. */
  async #check ({ partition, peers, rows }: Candidate, signal: AbortSignal): Promise<Agreement | undefined> {
    for (const references of rows) {
      try {
        const held = await Promise.all(references.map(async reference => await this.#fetch(reference, peers, signal)))
        if (partitionOfRows(this.#init.charter, held.map(({ row }) => row)).hash === partition) return this.#claim(held)
        this.#init.onProblem(`the partition ${partition.slice(0, 12)} that ${peers.join(', ')} claim does not follow from their rows; it is left out`)
      } catch (error) {
        signal.throwIfAborted()
        if (!(error instanceof ProtocolError) && (error as Error).name !== 'TimeoutError') throw error
        this.#init.onProblem(`the partition ${partition.slice(0, 12)} that ${peers.join(', ')} claim cannot be checked and is left out: ${(error as Error).message}`)
      }
    }
    return undefined
  }

  async #fetch (reference: RowReference, peers: readonly string[], signal: AbortSignal): Promise<Held> {
    const known = this.#rows.get(reference.site)?.find(held => held.reference.hash === reference.hash)
    if (known !== undefined) return known
    const held = this.#hold(await this.#port.fetch(reference, peers, { signal: AbortSignal.any([signal, AbortSignal.timeout(FETCH_MS)]) }))
    if (held.reference.hash !== reference.hash) throw new DecodeError(`row of ${reference.site}: encoded in another way than agreed`)
    return held
  }

  /** Until nobody is missing or the deadline is over. */
  async #until (missing: () => readonly string[], what: string, signal: AbortSignal): Promise<void> {
    const { onWaiting, charter: { clock: { roundDeadlineMs } } } = this.#init
    const deadline = AbortSignal.timeout(roundDeadlineMs)
    let told = ''
    await this.#waiters.until(() => {
      const absent = missing()
      if (absent.length === 0) return true
      const reason = `waiting: ${what} ${absent.join(', ')}, for ${roundDeadlineMs / 1000} s at most`
      if (reason !== told) onWaiting(reason)
      told = reason
      return false
    }, AbortSignal.any([signal, deadline])).catch(() => { signal.throwIfAborted() })
  }

  /** Once there is a claim, it names the rows: they can be asked for. */
  #sayAgain (): void {
    const { self } = this.#init
    const [claim, roll, [held] = []] = [this.#claims.get(self), this.#rolls.get(self), this.#rows.get(self)]
    if (claim !== undefined) this.#say({ claim })
    if (roll !== undefined) this.#say({ roll: { charter: this.#merge, clients: roll } })
    if (claim === undefined && held !== undefined) this.#say({ row: held.row })
    this.#waiters.wake() // a host may have gone since
  }

  #say (message: AffinityMessage): void {
    this.#port.publish(message).catch((error: unknown) => { // nobody listens yet: it is said again
      if (error instanceof InvalidParametersError) this.#init.onProblem(error.message)
    })
  }
}

/** Nobody can fill the memory by being many. */
function keep<T> (map: Map<string, T>, key: string, value: T): void {
  if (map.has(key) || map.size < MAX_PEERS) map.set(key, value)
}
