/**
 * All tensor work of a backbone host: the trunk for its attached clients, one conflict-free update per step, and at a
 * round's end deltas, candidate trunks and the merge. The host never sees a row, a label or a private unit.
 *
 *     forward([client, step, activations])  -> features       kept until the gradients come back
 *     backward([client, step, dFeatures])   -> dActivations   every client's trunk gradients are kept apart
 *     applyStep(step, clients)              -> report          project, step the optimiser, once for everybody
 *
 * Where the charter places the trunk at the clients the host computes no pass at all, it averages:
 *
 *     contribute(client, step, samples, changes)              what a client's training changed in the shared units
 *     applyMean(step, clients)              -> report, change  their mean by samples, added to the shared units
 *
 * and where it asks for attention, or names a method, every client is told what is its own to know (told).
 */
import { differentiate } from '../graph/gradients.ts'
import { OpenPasses } from './open-passes.ts'
import { PersonalCloud } from './personal-cloud.ts'
import { ProtocolError } from '../errors.ts'
import { decode, encode } from '../compression/index.ts'
import { NO_TRUNK, SHARES, linearUnits } from '../models/linear.ts'
import { keptLimit } from './memory.ts'
import { buildTrunk } from '../models/trunk.ts'
import { Contributions, weightedMean } from './contributions.ts'
import { coneProject, minDirectionCosine } from '../projection/index.ts'
import { exchangeOf, hostOf } from '../methods/index.ts'
import { expectLoaded, isOutside, outsideRule } from '../projection/outside.ts'
import { agreedHash, agreedOf, conflictsOf, mergeDeltas, mergeTerms, stateHash } from './merge.ts'
import { projectionRule } from './rules.ts'
import { Random, deriveSeed } from '../random.ts'
import { dataByName, elements } from '../tensor/tensor.ts'
import { SavedState, fingerprintOf, saveUnit, startFrom, vector } from './saved-state.ts'
import { Unit, Weights } from './unit.ts'
import { wholeUnits } from '../models/units.ts'
import type { Backend, Model } from '../backend/backend.ts'
import type { BackwardResult, BackwardShare, ForwardShare } from './open-passes.ts'
import type { Charter } from '../federation/charter.ts'
import type { ConflictStats, GradientRule } from '../projection/index.ts'
import type { LoadedRule } from '../projection/outside.ts'
import type { Graph } from '../graph/graph.ts'
import type { HostConflicts } from '../backbone/frames.ts'
import type { HostMethod } from '../methods/index.ts'
import type { NamedTensor, TensorData } from '../tensor/tensor.ts'
import type { OuterResult } from '../merging/outer.ts'

export type Units = Readonly<Record<string, Float32Array>>

export interface StepReport {
  readonly stats: ConflictStats
  /** min over tasks of u . g / (|u||g|) for the step that the optimiser applied, weight decay apart. */
  readonly minUpdateCosine: number
  /** The rule found no answer of its own. */
  readonly fallback?: true
}

/** One host's round delta as the merge sees it. */
export interface DeltaEntry {
  readonly id: string
  readonly weight: number
  readonly units: Units
  /** What its host holds as agreed on in the round before, by hash; absent where it holds nothing. */
  readonly history?: string
}

export interface Proposal {
  /** Hosts turned away, with the reason. */
  readonly rejected: OuterResult['rejected']
  /** Why the rule did without the history that it asks for. */
  readonly without?: string
}

/** What a candidate that became the state was made of. */
export interface Accepted {
  readonly between?: HostConflicts
  /** Hash of the history that its rule looked at. */
  readonly history?: string
}

export interface MeanReport {
  readonly report: StepReport
  /** What to tell the clients: through the charter's codec it becomes what was applied here. */
  readonly change: readonly NamedTensor[]
}

interface Candidate extends Accepted {
  readonly units: Units
  readonly velocity: Units | undefined
  readonly agreed?: Float32Array | undefined
}

const TRUNK = 'trunk'

export class HostTrainer {
  readonly #backend: Backend
  readonly #charter: Charter
  /** The trunk, and client units, which are averaged here and computed nowhere. */
  readonly #units: ReadonlyMap<string, Weights>
  readonly #trunk: Unit
  readonly #rule: Pick<GradientRule, 'aggregate'>
  readonly #scratch: Model
  readonly #passes: OpenPasses
  readonly #contributions: Contributions
  /** What makes of contributions something for each client, where the charter asks for that. */
  readonly #method: HostMethod | undefined
  /** By unit, where the charter asks for momentum on clients' changes. */
  readonly #momentum = new Map<string, Float32Array>()
  readonly #candidates = new Map<string, Candidate>()
  #anchor: Units
  #velocity: Units | undefined
  /** What the hosts' rule made of the deltas of the last round, where it looks at that, and its hash. */
  #agreed: { readonly delta: Float32Array, readonly hash: string } | undefined
  #history: Float32Array | undefined

  /**
   * @param memoryBytes - what this host may use; default: what the backend has
   * @param loaded - the gradient rule, where the charter's is from a strategy file
   * @param start - weights of the charter's foundation model, where it builds on one
   * @throws {InvalidParametersError} the charter's rule is from a file, and it is not this one
   */
  constructor (backend: Backend, charter: Charter, memoryBytes = backend.memoryBytes, loaded?: LoadedRule, start: readonly NamedTensor[] = []) {
    this.#backend = backend
    this.#charter = charter
    const { model, projection, clock } = charter
    const rule = isOutside(projection.rule) ? expectLoaded(projection.rule, loaded) : undefined
    const exchange = charter.method === undefined ? undefined : exchangeOf(charter)
    const trunk = buildTrunk(exchange === undefined ? model.backbone : NO_TRUNK)
    const { seed, training } = charter
    // A mean of changes is added as it is: no moments to keep.
    const optimiser = model.trunk === 'client' ? 'sgd' : 'adamw'
    this.#trunk = new Unit(backend, TRUNK, trunk, { seed, training, rate: training.lrTrunk, optimiser, start: exchange === undefined ? start : [], wanted: ['activations'], grouped: true })
    const shared = [...exchange?.units ?? sharedGraphs(charter)].map(([name, graph]) => [name, new Weights(name, graph, { seed, training, rate: training.lrClient, optimiser, start })] as const)
    this.#units = new Map([...exchange === undefined ? [[TRUNK, this.#trunk] as const] : [], ...shared])
    this.#passes = new OpenPasses(this.#trunk, keptLimit(memoryBytes))
    this.#scratch = backend.load(differentiate(trunk, []))
    this.#rule = rule === undefined ? projectionRule(projection) : outsideRule(rule, { strict: projection.strict !== 'off', deadlineMs: clock.stepDeadlineMs })
    this.#contributions = new Contributions(exchange === undefined ? this.unitSizes() : Object.fromEntries(exchange.up))
    const { attention: alphaK, sigma } = charter.training
    if (exchange !== undefined) this.#method = hostOf({ charter, units: this.#units, start })
    else if (alphaK !== undefined) this.#method = new PersonalCloud(this.#contributions.places, { alphaK, sigma })
    this.#anchor = this.#state()
  }

  /** Starts from these weights in place of the seed's. @throws {InvalidParametersError} a unit is missing, or of another model */
  start (weights: readonly NamedTensor[]): void {
    startFrom(this.#units.values(), weights)
    this.#anchor = this.#state()
  }

  /** Rows per second through the trunk, forward and backward: what a host announces. */
  async measure (tokens: number, batch: number): Promise<number> {
    const random = new Random(1)
    const shape = [batch, tokens, this.#charter.method === undefined ? this.#charter.model.backbone.width : NO_TRUNK.width]
    const activations = { shape, data: Float32Array.from({ length: elements(shape) }, () => random.normal()) }
    const mask = { shape: [batch, tokens], data: new Float32Array(batch * tokens) } // where the trunk has one
    const pass = async (): Promise<void> => {
      const { outputs, kept } = await this.#trunk.model.forward({ activations, mask })
      await this.#trunk.model.backward(kept, { features: outputs.features as TensorData })
    }
    await pass() // the first pass compiles and allocates
    const startedAt = performance.now()
    const passes = 3
    for (let i = 0; i < passes; i++) await pass()
    return passes * batch / ((performance.now() - startedAt) / 1000)
  }

  /** Features of several clients' activations, all of one shape, in one pass. */
  async forward (shares: readonly ForwardShare[]): Promise<readonly TensorData[]> { return await this.#passes.forward(shares) }

  /** Gradients of clients that shared a forward pass; of others that did, those may come later. */
  async backward (shares: readonly BackwardShare[]): Promise<readonly BackwardResult[]> {
    return await this.#passes.backward(shares, (client, names) => { this.#expectRows(client, names) })
  }

  /** Takes a client's gradients of shared units. @throws {ProtocolError} a unit that the charter does not share */
  share (client: string, step: number, gradients: readonly NamedTensor[]): void {
    const open = this.#passes.expect(client, step)
    if (open.rows.size === 0) throw new ProtocolError(`${client} sent shared gradients of step ${step} before those at the cut`)
    for (const { name, tensor } of gradients) {
      if (!tensor.data.every(Number.isFinite)) throw new ProtocolError(`${client} sent a gradient of ${name} that is not finite`)
      if (name === TRUNK || this.#units.get(name)?.parameters.length !== tensor.data.length) throw new ProtocolError(`${client} sent a gradient of ${name} with ${tensor.data.length} numbers, which the charter does not share`)
    }
    open.shared = dataByName(gradients)
  }

  /** Frees whatever a client has open here: it left. */
  drop (client: string): void {
    this.#passes.drop(client)
    this.#contributions.drop(client)
    this.#method?.drop?.(client)
  }

  /**
   * @param samples - rows that the client trains on: its weight in the mean
   * @throws {ProtocolError} a unit that the charter does not share, or numbers that are not finite
   */
  contribute (client: string, step: number, samples: number, changes: readonly NamedTensor[]): void {
    this.#contributions.add(client, step, samples, changes)
    this.#method?.check?.(client, step, changes) // who fails here is let go, and dropped
  }

  /** Adds the mean of the clients' changes, with the charter's server momentum and rate, rounded as the wire will round it. */
  applyMean (step: number, clients: readonly string[]): MeanReport {
    const { cutCodec, training: { serverRate = 1 } } = this.#charter
    if (this.#method !== undefined) {
      const stats = this.#method.apply(step, this.#contributions.take(step, clients))
      return { report: { stats, minUpdateCosine: stats.minDirectionCosine }, change: [] }
    }
    const { changes: means, stats } = this.#contributions.mean(step, clients)
    const directions = new Map([...means].map(([name, mean]) => [name, this.#accelerated(name, mean)]))
    const changes = serverRate === 1 ? directions : new Map([...directions].map(([name, mean]) => [name, mean.map(value => serverRate * value)]))
    for (const [name, change] of changes) {
      const unit = this.#units.get(name) as Weights
      const applied = cutCodec === 'f32' ? change : decode(cutCodec, encode(cutCodec, change), change.length)
      unit.move(applied)
    }
    return {
      report: { stats, minUpdateCosine: stats.minDirectionCosine },
      change: [...changes].map(([name, change]) => vector(name, change))
    }
  }

  /** What a client is told before a step by the charter's method; with attention, what it is pulled to, as a change from the start values. */
  told (client: string, step: number): readonly NamedTensor[] { return this.#method?.told(client, step) ?? [] }

  /** One conflict-free update from the gradients of `clients`; every open step is closed. */
  applyStep (step: number, clients: readonly string[]): StepReport {
    const opens = clients.map(client => [client, this.#passes.expect(client, step)] as const).sort(([a], [b]) => a < b ? -1 : 1)
    const rows = opens.flatMap(([, open]) => [...open.rows])
    const random = new Random(deriveSeed(this.#charter.seed, 'projection', step))
    const gradients = rows.map(([, row]) => row)
    const { balance, strict } = this.#charter.projection
    const { update, stats, gram, solver } = this.#rule.aggregate(gradients, {
      ids: rows.map(([id]) => id),
      random,
      balance: balance === 'norm',
      ...this.#history === undefined ? {} : { history: this.#history, into: this.#history }
    })
    this.#history = update
    const free = this.#trunk.direction(update)
    const { update: direction, minCosine } = strict === 'update'
      ? coneProject(free, gradients, gram, free)
      : { update: free, minCosine: minDirectionCosine(free, gradients, gram) }
    this.#trunk.apply(direction, step)
    for (const [name, unit] of this.#units) {
      const shared = opens.flatMap(([, open]) => open.shared.get(name) ?? [])
      if (shared.length > 0) unit.learn(weightedMean(shared, shared.map(() => 1 / shared.length), new Float32Array(unit.parameters.length)), step)
    }
    this.#passes.closeThrough(step)
    return { stats, minUpdateCosine: minCosine, ...solver?.fallback === true ? { fallback: true } : {} }
  }

  /** Values of the units that clients share, the current ones or a candidate's. A trunk that stays here, and may be large, is not touched. */
  clientUnits (candidate?: string): readonly NamedTensor[] {
    const units = candidate === undefined ? undefined : this.#candidate(candidate).units
    return [...this.#units].flatMap(([name, unit]) => name === TRUNK && !this.#charter.shared.includes(TRUNK) ? [] : [vector(name, units?.[name] ?? unit.parameters)])
  }

  /**
   * What this host changed since the round began, per unit, and its length over all units. Rounded as the wire will round
   * it, so that this host and its peers merge the same numbers. `history` names what it holds as agreed on.
   */
  delta (): { units: Units, norm: number, history?: string } {
    const { codec } = this.#charter.merge
    let square = 0
    const units = Object.fromEntries(Object.entries(this.#state()).map(([name, data]) => {
      const anchor = this.#anchor[name] as Float32Array
      const exact = data.map((value, i) => value - (anchor[i] as number))
      const change = codec === 'f32' ? exact : decode(codec, encode(codec, exact), exact.length)
      for (const value of change) square += value * value
      return [name, change]
    }))
    return { units, norm: Math.sqrt(square), ...this.#agreed === undefined ? {} : { history: this.#agreed.hash } }
  }

  /** Sizes that a delta from elsewhere must have. */
  unitSizes (): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#units].map(([name, unit]) => [name, unit.parameters.length]))
  }

  /** Holds the live state as a candidate. */
  propose (name: string): void { this.#candidates.set(name, { units: this.#state(), velocity: undefined }) }

  /**
   * Holds the outer-momentum merge of several deltas as a candidate.
   * @param round - of a merge by the charter's rule for deltas; absent: by their mean
   */
  proposeMerge (name: string, deltas: readonly DeltaEntry[], round?: number): Proposal {
    const terms = mergeTerms(this.#charter)
    const { history, without } = round === undefined ? {} : historyOf(deltas)
    const agreed = history !== undefined && history === this.#agreed?.hash ? this.#agreed.delta : undefined
    const result = mergeDeltas(terms, { anchor: this.#anchor, velocity: this.#velocity, agreed }, deltas, round === undefined ? undefined : { round, history: agreed !== undefined })
    const between = conflictsOf(result)
    this.#candidates.set(name, {
      units: result.state,
      velocity: result.velocity,
      agreed: round === undefined ? undefined : agreedOf(terms, result),
      ...between === undefined ? {} : { between },
      ...history === undefined || agreed === undefined ? {} : { history }
    })
    return { rejected: result.rejected, ...without === undefined ? {} : { without } }
  }

  /** Features under a held candidate, 'current' for the live trunk. Nothing is kept. */
  async inferWith (candidate: string, activations: TensorData): Promise<TensorData> {
    if (candidate === 'current') return (await this.#trunk.model.infer({ activations })).features as TensorData
    this.#scratch.setParameters(this.#candidate(candidate).units[TRUNK] as Float32Array)
    return (await this.#scratch.infer({ activations })).features as TensorData
  }

  /** Makes a candidate the live state and the start of the next round; forgets the others. */
  accept (candidate: string): Accepted {
    const { units, velocity, agreed, between, history } = this.#candidate(candidate)
    for (const [name, unit] of this.#units) unit.set(units[name] as Float32Array)
    this.#velocity = velocity
    this.#agreed = withHash(agreed)
    this.#anchor = this.#state()
    this.#candidates.clear()
    return { ...between === undefined ? {} : { between }, ...history === undefined ? {} : { history } }
  }

  save (): NamedTensor[] {
    const tensors = [...this.#units].flatMap(([name, unit]) => {
      const velocity = this.#velocity?.[name]
      const momentum = this.#momentum.get(name)
      return [
        ...saveUnit(name, unit),
        vector(`${name}.anchor`, this.#anchor[name] as Float32Array),
        ...velocity === undefined ? [] : [vector(`${name}.velocity`, velocity)],
        ...momentum === undefined ? [] : [vector(`${name}.momentum`, momentum)]
      ]
    })
    if (this.#history !== undefined) tensors.push(vector('history', this.#history))
    if (this.#agreed !== undefined) tensors.push(vector('agreed', this.#agreed.delta))
    return [...tensors, ...this.#method?.save?.() ?? []]
  }

  /** @throws {InvalidParametersError} the checkpoint is of another model */
  load (state: readonly NamedTensor[]): void {
    const saved = new SavedState(state)
    const velocity: Record<string, Float32Array> = {}
    const anchor: Record<string, Float32Array> = {}
    const momentum = new Map<string, Float32Array>()
    const found = [...this.#units].map(([name, unit]) => {
      anchor[name] = saved.need(`${name}.anchor`, unit.parameters.length)
      if (saved.find(`${name}.velocity`) !== undefined) velocity[name] = saved.need(`${name}.velocity`, unit.parameters.length)
      if (saved.find(`${name}.momentum`) !== undefined) momentum.set(name, saved.need(`${name}.momentum`, unit.parameters.length))
      return [unit, saved.unit(name, unit)] as const
    })
    this.#method?.load?.(saved)
    for (const [unit, state] of found) unit.load(state) // all of it or nothing
    this.#anchor = anchor
    this.#velocity = Object.keys(velocity).length > 0 ? velocity : undefined
    this.#history = saved.find('history')
    this.#agreed = withHash(saved.find('agreed'))
    this.#momentum.clear()
    for (const [name, data] of momentum) this.#momentum.set(name, data)
  }

  /** Hash over the live state; equal on hosts that merged the same set. */
  fingerprint (): string {
    return fingerprintOf([...Object.entries(this.#state()), ...(this.#method?.save?.() ?? []).map(({ name, tensor }) => [name, tensor.data] as const)])
  }

  /** Hash of the shared units as the round began with them. */
  anchorHash (): string { return stateHash(this.#anchor) }

  liveTensors (): number { return this.#backend.liveTensors() }

  dispose (): void {
    this.#passes.dispose()
    this.#trunk.dispose()
    this.#scratch.dispose()
  }

  #state (): Record<string, Float32Array> {
    return Object.fromEntries([...this.#units].map(([name, unit]) => [name, unit.parameters.slice()]))
  }

  /** v <- mu v + mean, then mean + mu v. Shares of documents come once: nothing to accelerate. */
  #accelerated (name: string, mean: Float32Array): Float32Array {
    const { training: { serverMomentum: mu = 0 }, model } = this.#charter
    if (mu === 0 || (model.kind === 'linear' && name === SHARES)) return mean
    const before = this.#momentum.get(name)
    const velocity = before === undefined ? mean.slice() : mean.map((value, i) => value + mu * (before[i] as number))
    this.#momentum.set(name, velocity)
    return mean.map((value, i) => value + mu * (velocity[i] as number))
  }

  #candidate (name: string): Candidate {
    const candidate = this.#candidates.get(name)
    if (candidate === undefined) throw new ProtocolError(`no candidate '${name}' is held now`)
    return candidate
  }

  /** One row for a client, or one for each task, as the charter says: more rows would be more votes. */
  #expectRows (client: string, names: readonly string[]): void {
    const { projection, tasks } = this.#charter
    const known = projection.unit === 'client' ? ['client'] : tasks.map(task => `task/${task.id}`)
    if (names.length === 0 || new Set(names).size < names.length || !names.every(name => known.includes(name))) {
      throw new ProtocolError(`${client} sent gradients of ${names.join(', ') || 'nothing'}, the charter takes ${known.join(', ')}`)
    }
  }
}

function withHash (delta: Float32Array | undefined): { delta: Float32Array, hash: string } | undefined {
  return delta === undefined ? undefined : { delta, hash: agreedHash(delta) }
}

/** What all hosts of a merge hold as agreed on. One that lacks it, or holds another, and none looks at any: states must not drift apart. */
function historyOf (deltas: readonly DeltaEntry[]): { history?: string, without?: string } {
  const [first] = deltas
  if (first?.history !== undefined && deltas.every(({ history }) => history === first.history)) return { history: first.history }
  const lacking = deltas.filter(({ history }) => history === undefined).map(({ id }) => id)
  if (lacking.length === deltas.length) return {}
  return { without: `without history: ${lacking.length === 0 ? 'hosts hold different deltas' : `${lacking.sort().join(', ')} lacked the delta`} of the round before` }
}

/** The client units that the charter averages, each with the graph that fixes its size and start values. */
function sharedGraphs (charter: Charter): ReadonlyArray<readonly [string, Graph]> {
  if (charter.model.kind === 'linear') return [...linearUnits(charter.input, charter.tasks)]
  return [...wholeUnits(charter)].filter(([name]) => name !== TRUNK)
}
