/**
 * What sites that hold whole models make of each other beyond one mean. A method is named by the charter's `method` section
 * and has two halves that talk in named tensors, once a step of the clock:
 *
 *     site  contribute(step)  ->  sent           E gradient steps, then what the host may know of them
 *     host  apply(step, sent of all sites)       moves the units that it holds
 *     host  told(client, step + 1)  ->           what this site needs to go on
 *     site  receive(step + 1, told)
 *
 * Units are what hosts hold, merge among each other and hash into the ledger. Rows, labels and everything that a site declares
 * private never leave; what may leave is listed before anybody trains (exchange), checked at the site's exit and at the
 * host's entry. The simulator and the network run the same two halves.
 */
import type { Backend } from '../backend/backend.ts'
import type { Batch } from '../training/batches.ts'
import type { Charter } from '../federation/charter.ts'
import type { ClientData, Rows } from '../data/dataset.ts'
import type { ConflictStats } from '../projection/index.ts'
import type { ExportWish, Members } from '../export/members.ts'
import type { Contribution } from '../training/contributions.ts'
import type { Graph } from '../graph/graph.ts'
import type { NamedTensor, TensorData } from '../tensor/tensor.ts'
import type { SavedState } from '../training/saved-state.ts'
import type { TaskLoss } from '../backbone/frames.ts'
import type { Weights } from '../training/unit.ts'

/** As a charter holds it: a name, and the method's options with their defaults filled in. */
export interface MethodSpec {
  readonly name: string
  readonly [option: string]: unknown
}

/** Per task, linked: [rows, positions, channels]. */
export type Predictions = ReadonlyMap<string, TensorData>

/** Start values follow from the charter's seed and the unit's name; a graph fixes them and the size. */
export interface ExchangeSpec {
  readonly units: ReadonlyMap<string, Graph>
  /** What a site may send: name -> count of numbers. Left out: changes of the units. */
  readonly up?: ReadonlyMap<string, number>
  /** Whether a host may tell so many numbers under a name. Left out: the units, each whole. */
  readonly down?: (name: string, numbers: number) => boolean
}

/** Where a site stands among all. */
export interface Seat {
  readonly rank: number
  readonly of: number
}

export interface SiteInit {
  readonly backend: Backend
  readonly charter: Charter
  readonly data: ClientData
  readonly seat: Seat
  /** Start values by unit name, in place of the seed's: those of the charter's foundation model, where it builds on one. */
  readonly start?: readonly NamedTensor[]
  /** Rows of one local gradient step, counted from 0 over the whole run; the same ones after any restart. */
  readonly batch: (localStep: number) => Batch
  /** Declares a buffer private as it is now: nothing that equals it may leave. Drawn rows and labels are declared already. */
  readonly protect: (what: string, data: Float32Array) => void
}

export interface SiteMethod {
  /** All that is trained here, under unique names: what checkpoints hold, with the optimiser's state. */
  readonly units: readonly Weights[]
  /** training.localSteps gradient steps, from number step * E, and what the host hears of them. */
  contribute: (step: number) => Promise<{ readonly sent: readonly NamedTensor[], readonly losses: readonly TaskLoss[] }>
  /**
   * What the host tells before `step`, and after the last one. May come twice for one step, after a reconnect. Nothing told
   * at step 0: the units have the start values of the charter's seed.
   */
  receive: (step: number, told: readonly NamedTensor[]) => Promise<void> | void
  /** After the last step: distillation, tuning. May be called again after a restart, from the same state. */
  finish?: () => Promise<void>
  /** What the site serves. */
  predict: (rows: Rows) => Promise<Predictions>
  /** More predictors for the report, none of them served. */
  variants?: () => ReadonlyMap<string, (rows: Rows) => Promise<Predictions>>
  /** What a checkpoint holds beside the units. */
  save?: () => NamedTensor[]
  load?: (saved: SavedState) => void
  dispose: () => void
}

/** One site's contribution to a step, as the host has checked it: known names, exact sizes, finite. */
export type MethodShare = Contribution & { readonly client: string }

export interface HostInit {
  readonly charter: Charter
  readonly units: ReadonlyMap<string, Weights>
  /** As a site's. Units of these names have them already. */
  readonly start?: readonly NamedTensor[]
}

export interface HostMethod {
  /** What a site sent for a step, as it comes: known names, exact sizes, finite. @throws {ProtocolError} it is of no use here: the site is let go */
  check?: (client: string, step: number, sent: readonly NamedTensor[]) => void
  /** @param from - sorted by client */
  apply: (step: number, from: readonly MethodShare[]) => ConflictStats
  /** For one client, before `step`; exact float32 on the wire. */
  told: (client: string, step: number) => readonly NamedTensor[]
  drop?: (client: string) => void
  save?: () => NamedTensor[]
  load?: (saved: SavedState) => void
}

export interface Method<O extends object = object> {
  readonly name: string
  /** Its models begin with `start` where there is one. Left out: charters on a foundation model are refused. */
  readonly foundation?: true
  /** Defaults filled in; applied to its own result it changes nothing. @throws {InvalidParametersError} */
  options: (raw: Readonly<Record<string, unknown>>) => O
  /** Follows from the charter alone, the same at every peer. @throws {InvalidParametersError} the charter's model does not fit */
  exchange: (charter: Charter, options: O) => ExchangeSpec
  site: (init: SiteInit, options: O) => SiteMethod
  /** Left out: every unit gets the mean of its changes by samples over those who sent it, and everybody is told all values. */
  host?: (init: HostInit, options: O) => HostMethod
  /** Numbers that one client sends and is told in a step, for plans. Left out: all of `up`, and all units. */
  traffic?: (charter: Charter, options: O) => { readonly up: number, readonly down: number }
  /**
   * Models in what a site saved whose mean of raw outputs it would serve at a width and a robustness, both from 0 to 1. Left out:
   * the one of the charter's form whose parts are there. @throws {InvalidParametersError} there are none
   */
  exported?: (charter: Charter, options: O, saved: SavedState, wish: ExportWish) => Members
}
