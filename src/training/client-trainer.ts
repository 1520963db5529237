/**
 * All tensor work of a split client. Raw rows, labels, embedder and heads live here and leave only as cut-layer
 * activations, gradients at the cut and, for units that the charter shares, unit gradients.
 *
 *     forward(step)            -> activations               kept: embedder pass, batch
 *     backward(step, features) -> dL/dfeatures, losses      heads learn
 *     finish(step, dEmb)       -> gradients of shared units the private embedder learns
 *
 * Where the charter places the trunk at the client there is no cut, and nothing leaves but what training changed in the
 * shared units:
 *
 *     contribute(step)         -> changes of shared units   E gradient steps from the values that all agree on
 *     advance(changes)                                       the values that all agree on next
 *
 * Where it asks for attention the model is the site's own for good: contribute sends how far it is from the start values, and
 * the host answers with an anchor (aim) instead of values to go on from.
 *
 * Where the charter names a method (src/methods), that has the place of these: contribute sends what it says, and what the host
 * tells is its to receive.
 *
 * Where the charter asks for a personal model, the site trains and serves that one too; where it keeps normalisations
 * private, their stretches of the shared units go out as zeros and stay as they are.
 */
import { AffinityProbe } from './probe.ts'
import { dropoutMask, masked } from './dropout.ts'
import { drawBatch } from './batches.ts'
import { ClientParts, sumTensors } from './client-parts.ts'
import { ContentGuard } from '../backbone/guard.ts'
import { Committee } from './committee.ts'
import { EVALUATION_ROWS, joinRows } from './evaluation.ts'
import { LinearModel } from './linear/model.ts'
import { MethodModel } from '../methods/site.ts'
import { OpenSteps } from './open-steps.ts'
import { OwnModels, rowsOf } from './own-models.ts'
import { PersonalModel } from './personal-model.ts'
import { ProtocolError, ShapeMismatchError } from '../errors.ts'
import { deriveSeed } from '../random.ts'
import { describeClient } from './client-description.ts'
import { elements, sameShape } from '../tensor/tensor.ts'
import { SavedState, fingerprintOf, saveUnit, startFrom, vector } from './saved-state.ts'
import { inFlight, localStepsOf } from './spec.ts'
import { createWeighting } from '../weighting/index.ts'
import { weightingSettings } from './rules.ts'
import { difference, pulled } from './local-rules.ts'
import { meanByTask } from '../federation/round-log.ts'
import { norm } from '../kernels/index.ts'
import { WholeModel } from './whole-model.ts'
import type { AffinitySums } from '../affinity/tally.ts'
import type { Backend } from '../backend/backend.ts'
import type { Batch } from './batches.ts'
import type { CandidateScore, TaskLoss } from '../backbone/frames.ts'
import type { Charter } from '../federation/charter.ts'
import type { ClientData } from '../data/dataset.ts'
import type { ClientDescription } from './client-description.ts'
import type { ClientReport } from './committee.ts'
import type { LossWeighting } from '../weighting/index.ts'
import type { NamedTensor, TensorData } from '../tensor/tensor.ts'
import type { OwnModelsInit } from './own-models.ts'
import type { Seat } from '../methods/index.ts'
import type { Stretch } from '../models/normalisation.ts'
import type { Unit, Weights } from './unit.ts'
import type { WholePass } from './whole-model.ts'

export type EvaluationSplit = 'holdout' | 'test' | 'all'

export class ClientTrainer {
  readonly #backend: Backend
  readonly #charter: Charter
  readonly #data: ClientData
  readonly #model: ClientParts | WholeModel | LinearModel | MethodModel
  readonly #personal: PersonalModel | undefined
  /** What stays here of shared units, by unit. */
  readonly #kept: ReadonlyMap<string, readonly Stretch[]>
  readonly #own: OwnModels
  readonly #committee: Committee
  readonly #weighting: LossWeighting | undefined
  readonly #probe: AffinityProbe | undefined
  readonly #shared: ReadonlySet<string>
  readonly #batchSeed: number
  readonly #guard = new ContentGuard()
  readonly #chunks = new Map<string, Array<ReadonlyMap<string, TensorData>>>()
  readonly #open = new OpenSteps()
  /** What contributions are changes from: values of the shared units before the local steps under way; whole models only. */
  #agreed: ReadonlyMap<string, Float32Array> = new Map()
  /** What the shared units are pulled to where there is no common model. */
  #anchors: ReadonlyMap<string, Float32Array> | undefined

  /**
   * @param init.control - trains a second local model from another seed, for the two-locals control
   * @param init.baseline - false trains no local model at all, and the report has the federated one alone. Default true
   * @param init.refit - fits the simple model a second time, on training and hold-out rows, for serving and for the report's
   * simpleRefit; every choice still rests on the first fit. Default true
   * @param init.start - weights of the charter's foundation model, where it builds on one
   * @param init.seat - where this site stands among all, for methods that share work out. Default: the only one
   */
  constructor (backend: Backend, charter: Charter, data: ClientData, init: OwnModelsInit & { readonly partsSeed?: number, readonly seat?: Seat }) {
    this.#backend = backend
    this.#charter = charter
    this.#data = data
    const { model, training, seed, projection } = charter
    const { weighting } = projection
    const { start = [] } = init
    this.#weighting = weighting === undefined ? undefined : createWeighting(weighting, { tasks: data.tasks.length, epochSteps: training.stepsPerRound, ...weightingSettings(projection) })
    this.#model = charter.method !== undefined
      ? new MethodModel(backend, { charter, data, seat: init.seat ?? { rank: 0, of: 1 }, guard: this.#guard, start })
      : model.kind === 'linear'
        ? new LinearModel(data, { seed, training })
        : model.trunk === 'client'
          ? new WholeModel(backend, data, model, { seed, training, rate: training.lrLocal, start })
          : new ClientParts(backend, data, model, { seed: init.partsSeed ?? seed, training, rate: training.lrClient, start })
    this.#personal = training.personal === undefined ? undefined : new PersonalModel(backend, data, charter, start)
    this.#kept = model.privateNorms === true ? this.#whole.normalisations : new Map()
    this.#own = new OwnModels(backend, charter, data, init)
    this.#committee = new Committee(this.#model, data, { sharedTasks: model.sharedHeads, linear: model.kind === 'linear' })
    this.#probe = AffinityProbe.of(charter, data.tasks)
    this.#batchSeed = deriveSeed(seed, 'rows', data.id)
    this.#shared = new Set(this.#model.units.map(unit => unit.name).filter(name => charter.shared.includes(name)))
    if (training.attention !== undefined) {
      this.#agreed = new Map(this.#model.units.filter(unit => this.#shared.has(unit.name)).map(unit => [unit.name, unit.startValues()]))
      this.#anchors = this.#agreed
    }
  }

  describe (): ClientDescription { return describeClient(this.#charter, this.#data) }

  /** Starts from these weights in place of the seed's. @throws {InvalidParametersError} a unit is missing, or of another model */
  start (weights: readonly NamedTensor[]): void { startFrom(this.#model.units, weights) }

  /** Weights of every part at home. They stay on this machine. */
  weights (): NamedTensor[] { return this.#model.units.map(({ name, parameters }) => vector(name, parameters)) }

  /** What was measured of the tasks' effects on each other, cells over the charter's tasks. @throws {ProtocolError} the charter asks for none */
  affinity (): AffinitySums {
    if (this.#probe === undefined) throw new ProtocolError('the charter has no grouping section: nothing is measured')
    return this.#probe.sums()
  }

  /** Cut-layer activations of this step's batch, [B, N, D]. Steps left open that are not in flight beside it are dropped. */
  async forward (step: number): Promise<TensorData> {
    this.#open.abandonAllBut(inFlight(this.#charter.training), step)
    const { batch: size, shift } = this.#charter.training
    const batch = drawBatch(this.#data.train, this.#data.input, { size, seed: this.#batchSeed, step, shift })
    this.#guard.protect('the raw rows of a batch', batch.x)
    for (const [task, y] of Object.entries(batch.y)) this.#guard.protect(`the labels of ${task}`, y)
    const embedded = await this.#parts.embed(batch)
    this.#guard.protect('the pieces of a batch', embedded.pieces.data)
    const activationMask = this.#mask(embedded.activations.data.length, 'activations', step)
    this.#open.add({ step, batch, embedded, activationMask, headGradients: new Map() })
    return this.#release('activations', masked(embedded.activations, activationMask))
  }

  /**
   * @param features - [B, N, D], what the trunk made of this step's activations
   * @returns gradients at the cut, one tensor or one per task as the charter's projection unit asks
   */
  async backward (step: number, features: TensorData): Promise<{ featureGrads: readonly NamedTensor[], losses: readonly TaskLoss[] }> {
    const open = this.#open.expect(step)
    if (!sameShape(features.shape, open.embedded.activations.shape)) throw new ShapeMismatchError(open.embedded.activations.shape, features.shape, 'features')
    const mask = this.#mask(features.data.length, 'features', step)
    const pass = await this.#parts.passHeads(masked(features, mask), open.batch)
    open.headGradients = pass.gradients
    for (const unit of this.#heads()) {
      if (this.#shared.has(unit.name)) continue
      const gradient = pass.gradients.get(unit.name) as Float32Array
      this.#learn(unit, gradient, step)
    }
    const featureGrads = this.#weigh(pass.featureGrads.map(({ name, tensor }) => ({ name, tensor: masked(tensor, mask) })), pass.losses)
    const perTask = this.#charter.projection.unit === 'task'
    const outgoing = perTask ? featureGrads : [{ name: 'client', tensor: sumTensors(featureGrads.map(grad => grad.tensor)) }]
    for (const { name, tensor } of outgoing) this.#release(name, tensor)
    return { featureGrads: outgoing, losses: pass.losses }
  }

  /** Closes the step: the embedder learns, or its gradient is handed out where the charter shares it. */
  async finish (step: number, activationGrad: TensorData): Promise<readonly NamedTensor[]> {
    const open = this.#open.expect(step)
    this.#open.close(step)
    const gradient = await this.#parts.embedGradient(open.embedded, masked(activationGrad, open.activationMask))
    const { embedUnit } = this.#parts
    const outgoing: NamedTensor[] = []
    if (this.#shared.has(embedUnit.name)) outgoing.push(vector(embedUnit.name, gradient))
    else this.#learn(embedUnit, gradient, step)
    for (const unit of this.#heads()) {
      if (this.#shared.has(unit.name)) outgoing.push(vector(unit.name, open.headGradients.get(unit.name) as Float32Array))
    }
    for (const { name, tensor } of outgoing) this.#release(name, tensor)
    return outgoing
  }

  /** Takes over the values of shared units as the host sends them. @throws {ProtocolError} not a unit of ours, or another size */
  adopt (units: readonly NamedTensor[]): void {
    for (const { name, tensor } of units) this.#agree(this.#sharedUnit(name, tensor), tensor.data)
  }

  /**
   * Trains the whole model for the charter's local steps from the values that all agree on.
   * @returns what that changed in the shared units, and the mean loss per task
   */
  async contribute (step: number): Promise<{ changes: readonly NamedTensor[], losses: readonly TaskLoss[] }> {
    if (this.#model instanceof MethodModel) {
      const { sent, losses } = await this.#model.method.contribute(step)
      return this.#releaseAll(sent, losses)
    }
    const shared = this.#model.units.filter(unit => this.#shared.has(unit.name) && this.#whole.moves(unit.name))
    if (this.#anchors === undefined) this.#agreed = new Map(shared.map(unit => [unit.name, unit.parameters.slice()]))
    const { personal } = this.#charter.training
    const steps = localStepsOf(this.#charter.training)
    const losses: TaskLoss[] = []
    if (personal === 'pfedme') this.#personal?.copy(this.#model.units)
    for (let local = step * steps; local < (step + 1) * steps; local++) losses.push(...(await this.#trainWhole(local)).losses)
    for (const unit of this.#personal?.units ?? []) this.#guard.protect(`the personal weights of ${unit.name}`, unit.parameters)
    const changes = shared.map(unit => {
      const change = difference(unit.parameters, this.#agreed.get(unit.name) as Float32Array)
      for (const { offset, size } of this.#kept.get(unit.name) ?? []) change.fill(0, offset, offset + size)
      return vector(unit.name, change)
    })
    return this.#releaseAll(changes, losses)
  }

  /** Takes over what the charter's method tells before `step`. @throws {ProtocolError} it is nothing that the method tells */
  async receive (step: number, told: readonly NamedTensor[]): Promise<void> { await this.#site.receive(step, told) }

  /** What the charter's method has to do after the last step. */
  async settle (): Promise<void> { await this.#site.method.finish?.() }

  /** Takes over what the host made of all contributions. @throws {ProtocolError} not a unit of ours, or another size */
  advance (changes: readonly NamedTensor[]): void {
    const byUnit = new Map(changes.map(({ name, tensor }) => [this.#sharedUnit(name, tensor), tensor.data]))
    for (const [name, agreed] of this.#agreed) {
      const unit = this.#model.units.find(unit => unit.name === name) as Weights
      const change = byUnit.get(unit)
      this.#agree(unit, change === undefined ? agreed : agreed.map((value, i) => value + (change[i] as number)))
    }
  }

  /** Takes over what the model is pulled to from here on, as changes from the start values; a unit without one is pulled there. */
  aim (changes: readonly NamedTensor[]): void {
    const byUnit = new Map(changes.map(({ name, tensor }) => [this.#sharedUnit(name, tensor).name, tensor.data]))
    this.#anchors = new Map([...this.#agreed].map(([name, start]) => [name, start.map((value, i) => value + (byUnit.get(name)?.[i] ?? 0))]))
  }

  /** Takes over the shared units' start values. They follow from the charter's seed: they need not travel. */
  restart (): void { for (const unit of this.#whole.units) if (this.#shared.has(unit.name)) this.#agree(unit, unit.startValues()) }

  /**
   * Predictions for hold-out or test rows, under `key`: of the agreed whole model under candidate values of the shared
   * units, and without any of what the site serves, its personal model where it has one.
   */
  async evaluate (key: string, split: EvaluationSplit, units: readonly NamedTensor[] = []): Promise<void> {
    const model = this.#model instanceof MethodModel ? this.#model : units.length === 0 ? this.#personal ?? this.#whole : this.#whole
    const rows = rowsOf(this.#data, split)
    this.#committee.put(key, split, await this.#with(units, async () => await model.predict(rows)))
    if (this.#model instanceof MethodModel) for (const [name, predict] of this.#model.method.variants?.() ?? []) this.#committee.put(name, split, await predict(rows), { shown: true })
  }

  /** As many gradient steps of the local model, and of the control where there is one, as one step of the clock means. */
  async localStep (step: number): Promise<void> { await this.#own.step(step) }

  /** Activations of hold-out or test rows under candidate values of the shared units. */
  async evaluateForward (split: EvaluationSplit, start: number, units: readonly NamedTensor[] = []): Promise<TensorData> {
    const rows = rowsOf(this.#data, split)
    const count = Math.min(EVALUATION_ROWS, rows.count - start)
    const size = elements(this.#data.input.shape)
    const { pieces, activations } = await this.#with(units, async () => await this.#parts.embedRows(rows, size, start, count))
    this.#guard.protect(`the ${split} rows`, rows.x.subarray(start * size, (start + count) * size))
    this.#guard.protect(`the pieces of ${split} rows`, pieces.data)
    return this.#release('activations', activations)
  }

  /** Features of those rows; collects predictions under `key`. @returns rows still to come, 0 when the split is complete */
  async evaluateFeatures (key: string, split: EvaluationSplit, start: number, features: TensorData, units: readonly NamedTensor[] = []): Promise<number> {
    const predictions = await this.#with(units, async () => await this.#parts.predict(features))
    const chunks = start === 0 ? [] : this.#chunks.get(key) ?? []
    chunks.push(predictions)
    this.#chunks.set(key, chunks)
    const done = start + (features.shape[0] as number)
    const { count } = rowsOf(this.#data, split)
    if (done < count) return count - done
    this.#chunks.delete(key)
    this.#committee.put(key, split, joinRows(chunks))
    return 0
  }

  /** Verdict on a candidate trunk from this client's hold-out, paired with 'own'. */
  score (candidate: string): CandidateScore { return this.#committee.score(candidate) }

  /** Predictions that `evaluate` has left under `key`, by task. They stay on this machine. */
  predictions (key: string, split: EvaluationSplit): NamedTensor[] { return this.#committee.predictions(key, split) }

  /** Takes over predictions for this site's rows from trainers of some of its tasks. */
  takePredictions (key: string, split: EvaluationSplit, predictions: readonly NamedTensor[]): void {
    this.#committee.put(key, split, new Map(predictions.map(({ name, tensor }) => [name, tensor])))
  }

  /** Metrics of all candidates and of what is served on the test rows, after 'federated' was evaluated on both splits. */
  async report (): Promise<ClientReport> {
    return this.#committee.report(await this.#own.putInto(this.#committee, this.#guard))
  }

  /** Everything a restart needs, to be written as one checkpoint. */
  save (): NamedTensor[] {
    const units = this.#stateful().flatMap(([prefix, unit]) => saveUnit(`${prefix}${unit.name}`, unit))
    return [...units, ...this.#weighting === undefined ? [] : [vector('weighting', this.#weighting.save())], ...this.#probe?.save() ?? [], ...this.#model instanceof MethodModel ? this.#model.save() : []]
  }

  /** @throws {InvalidParametersError} the checkpoint is of another model */
  load (state: readonly NamedTensor[]): void {
    const saved = new SavedState(state)
    const found = this.#stateful().map(([prefix, unit]) => [unit, saved.unit(`${prefix}${unit.name}`, unit)] as const)
    const weighting = this.#weighting === undefined ? undefined : saved.need('weighting', this.#weighting.save().length)
    const measured = this.#probe?.read(saved)
    if (this.#model instanceof MethodModel) this.#model.method.load?.(saved)
    for (const [unit, state] of found) unit.load(state) // all of it or nothing
    if (measured !== undefined) this.#probe?.load(measured)
    if (weighting !== undefined) this.#weighting?.load(weighting)
  }

  /** Hash over every weight at home; equal on two runs that went the same way. */
  fingerprint (): string { return fingerprintOf(this.save().map(({ name, tensor }) => [name, tensor.data])) }

  liveTensors (): number { return this.#backend.liveTensors() }

  dispose (): void {
    this.#open.dispose()
    this.#model.dispose()
    this.#personal?.dispose()
    this.#own.dispose()
  }

  /** A private unit learns; neither what it learned from nor what it knows may leave. */
  #learn (unit: Weights, gradient: Float32Array, step: number): void {
    // A correction's gradient is that of the shared head beside it, which the charter sends.
    if (!unit.name.startsWith('correction/')) this.#guard.protect(`the gradient of ${unit.name}`, gradient)
    unit.learn(gradient, step)
    this.#guard.protect(`the weights of ${unit.name}`, unit.parameters)
  }

  /** The tasks' gradients by the weights that the steps before taught; this one teaches the next. */
  #weigh (gradients: readonly NamedTensor[], losses: readonly TaskLoss[]): readonly NamedTensor[] {
    const weighting = this.#weighting
    if (weighting === undefined) return gradients
    const weights = weighting.weights()
    weighting.learn({ losses: losses.map(({ loss }) => loss), norms: gradients.map(({ tensor }) => norm(tensor.data)) })
    return gradients.map(({ name, tensor: { shape, data } }, i) => ({ name, tensor: { shape, data: data.map(value => value * (weights[i] as number)) } }))
  }

  /** Everything that leaves this trainer for the network passes here. */
  #release (name: string, tensor: TensorData): TensorData {
    this.#guard.check(name, tensor.data)
    return tensor
  }

  /** Changes on their way out, and the mean loss per task. */
  #releaseAll (changes: readonly NamedTensor[], losses: readonly TaskLoss[]): { changes: readonly NamedTensor[], losses: readonly TaskLoss[] } {
    for (const { name, tensor } of changes) this.#release(name, tensor)
    const samples = losses.filter(({ task }) => task === losses[0]?.task).reduce((sum, { samples }) => sum + samples, 0)
    return { changes, losses: Object.entries(meanByTask(losses)).map(([task, loss]) => ({ task, loss, samples })) }
  }

  /** The parts on this side of the cut. @throws {ProtocolError} the charter places the trunk here: there is no cut */
  get #parts (): ClientParts {
    if (!(this.#model instanceof ClientParts)) throw new ProtocolError('the charter places the trunk at the client: nothing is split')
    return this.#model
  }

  /** @throws {ProtocolError} the charter places the trunk at the host */
  get #whole (): WholeModel | LinearModel {
    if (this.#model instanceof MethodModel) throw new ProtocolError('the charter names a method: the model is in its hands')
    if (this.#model instanceof ClientParts) throw new ProtocolError('the charter places the trunk at the host: no client holds a whole model')
    return this.#model
  }

  /** @throws {ProtocolError} the charter names none */
  get #site (): MethodModel {
    if (!(this.#model instanceof MethodModel)) throw new ProtocolError('the charter names no method')
    return this.#model
  }

  /**
   * One gradient step of everything whole that the host may hear of. Its rows are private, and so is all that is made of
   * them but the shared units' changes.
   */
  async #trainWhole (step: number): Promise<WholePass> {
    const { batch: size, shift, personal, proximal = 0, attention, pull = 0 } = this.#charter.training
    const weight = attention === undefined ? proximal : pull / attention
    const { train, input } = this.#data
    const batch: Batch = this.#model instanceof LinearModel ? train : drawBatch(train, input, { size, seed: this.#batchSeed, step, shift })
    if (this.#model instanceof WholeModel) await this.#probe?.measure(this.#model, batch, step)
    if (personal === 'ditto') await this.#personal?.step(batch, step, this.#agreed)
    const pass = await (personal === 'pfedme' ? this.#personal?.lead(batch, step, this.#whole.units) : undefined) ?? await this.#whole.pass(batch)
    this.#guard.protect('the raw rows of a batch', batch.x)
    for (const [task, y] of Object.entries(batch.y)) this.#guard.protect(`the labels of ${task}`, y)
    this.#guard.protect('the pieces of a batch', pass.pieces.data)
    if (personal === 'pfedme') { // the site's weights have followed already
      for (const unit of this.#whole.units) if (!this.#shared.has(unit.name)) this.#guard.protect(`the weights of ${unit.name}`, unit.parameters)
      return pass
    }
    for (const unit of this.#whole.units) {
      const gradient = pass.gradients.get(unit.name)
      if (gradient === undefined) continue
      const anchor = (this.#anchors ?? this.#agreed).get(unit.name)
      if (anchor === undefined) this.#learn(unit, gradient, step)
      else unit.learn(pulled(gradient, unit.parameters, anchor, weight), step)
    }
    return pass
  }

  /** A shared unit takes over what all agreed on, but for what of it stays here. */
  #agree (unit: Weights, values: Float32Array): void {
    const merged = values.slice()
    for (const { offset, size } of this.#kept.get(unit.name) ?? []) merged.set(unit.parameters.subarray(offset, offset + size), offset)
    unit.set(merged)
  }

  #heads (): readonly Unit[] { return this.#parts.units.slice(1) }

  #stateful (): ReadonlyArray<readonly [string, Weights]> {
    return [
      ...this.#model.units.map(unit => ['', unit] as const),
      ...(this.#personal?.units ?? []).map(unit => ['personal/', unit] as const),
      ...this.#own.units
    ]
  }

  #sharedUnit (name: string, tensor: TensorData): Weights {
    const unit = this.#shared.has(name) ? this.#model.units.find(unit => unit.name === name) : undefined
    if (unit === undefined || unit.parameters.length !== tensor.data.length) throw new ProtocolError(`the host sent ${name} with ${tensor.data.length} numbers, which is no shared unit here`)
    return unit
  }

  async #with<T> (units: readonly NamedTensor[], body: () => Promise<T>): Promise<T> {
    if (units.length === 0) return await body()
    const held = units.map(({ name, tensor }) => vector(name, this.#sharedUnit(name, tensor).parameters))
    this.adopt(units)
    try {
      return await body()
    } finally {
      this.adopt(held)
    }
  }

  #mask (size: number, end: string, step: number): Float32Array | undefined {
    return dropoutMask(this.#charter.model.dropout, size, { seed: this.#batchSeed, end, step })
  }
}
