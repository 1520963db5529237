/**
 * All tensor work of a site that trades models (FedPAE). Rows and labels live here and never leave; what leaves are the
 * weights of whole models that the site trained, which is what its members agreed to.
 *
 *     step(n)                 its own models learn, one per architecture of the charter
 *     publish()               -> their cards and weights, one version up; they stand on the bench
 *     consider(card, weights) a peer's model answers the hold-out and test rows; answers are kept, the model is not
 *     select()                -> who is in the committee of each task, and why; the one before is served until then
 *
 * What peers send is checked before it is used: a known architecture and label space, the exact length, finite numbers.
 */
import { InvalidParametersError, ProtocolError } from '../errors.ts'
import { ClientLayout } from '../training/client-layout.ts'
import { GUESTS } from '../training/memory.ts'
import { LocalTrainer } from '../training/local-trainer.ts'
import { ModelBench, modelIdOf } from './model-bench.ts'
import { SavedState, fingerprintOf, saveUnit, vector } from '../training/saved-state.ts'
import { WholeModel } from '../training/whole-model.ts'
import { accuracyOf, choose } from './choice.ts'
import { allFinite, elements } from '../tensor/tensor.ts'
import { architecturesOf, publicationSteps } from './spec.ts'
import { benchReport } from './report.ts'
import { cardTask } from './card.ts'
import { deriveSeed } from '../random.ts'
import { fitSimple } from '../training/simple/index.ts'
import { naturalTargets } from './rows.ts'
import { modelFloats } from '../planning/traffic.ts'
import { readBench, saveBench } from './saved-bench.ts'
import { rowsOf } from '../training/own-models.ts'
import { splitsOf } from '../training/committee.ts'
import { joinedWeights, weightCount } from '../training/unit.ts'
import type { Answers, BenchEntry } from './model-bench.ts'
import type { Architecture, BenchSpec } from './spec.ts'
import type { Backend } from '../backend/backend.ts'
import type { CardDraft, ModelCard } from './card.ts'
import type { Charter } from '../federation/charter.ts'
import type { Choice, TaskExplanation } from './choice.ts'
import type { ClientData } from '../data/dataset.ts'
import type { ClientReport } from '../training/committee.ts'
import type { EvaluationSplit } from '../training/client-trainer.ts'
import type { ModelSpec } from '../models/spec.ts'
import type { NamedTensor, TensorData } from '../tensor/tensor.ts'
import type { TaskLoss } from '../backbone/frames.ts'
import type { TaskSpec } from '../tasks/task.ts'

export interface PeerDescription {
  /** The site's name in its data. */
  readonly client: string
  readonly tasks: readonly string[]
  readonly samples: { readonly train: number, readonly holdout: number, readonly test: number }
  /** Its own models, as cards name them. */
  readonly models: ReadonlyArray<{ readonly modelId: string, readonly arch: string, readonly parameters: number, readonly bytes: number }>
  /** Gradient steps of its training, and after which of them it publishes. */
  readonly steps: number
  readonly publishAt: readonly number[]
}

export interface PeerProgress {
  /** Gradient steps that its models have taken. */
  readonly step: number
  /** Of its models as they were published last; 0 before. */
  readonly version: number
}

export interface Published {
  readonly card: CardDraft
  readonly weights: Float32Array
}

export interface Considered {
  /** On the hold-out, mean over the tasks in common; NaN where it was refused or there are no labels to judge by. */
  readonly accuracy: number
  readonly kept: boolean
  readonly reason: string
}

export interface Explanation {
  readonly peer: string
  /** Models on the bench, and of them the site's own. */
  readonly models: number
  readonly own: number
  readonly tasks: readonly TaskExplanation[]
}

const FLOAT_BYTES = 4

export class PeerTrainer {
  readonly #backend: Backend
  readonly #charter: Charter
  readonly #spec: BenchSpec
  readonly #data: ClientData
  readonly #peer: string
  readonly #architectures: readonly Architecture[]
  readonly #own: readonly LocalTrainer[]
  readonly #bench: ModelBench
  /** By architecture and tasks, the latest last. Weights of peers take turns in them: to build one takes longer than it does to answer. */
  readonly #guests = new Map<string, WholeModel>()
  #step = 0
  #version = 0
  /** The step at which the bench's answers of the site's own models were given. */
  #answeredAt: number | undefined
  /** Of each task, since the last `select`. */
  #committee: ReadonlyMap<string, Choice> = new Map()

  /**
   * @param init.peer - under which its models are known to others; start values follow from it
   * @throws {InvalidParametersError} the charter has no bench section, or its models do not fit the rows
   */
  constructor (backend: Backend, charter: Charter, data: ClientData, init: { peer: string }) {
    const { model, training, input, tasks, seed } = charter
    this.#backend = backend
    this.#charter = charter
    this.#spec = benchOf(charter)
    this.#data = data
    this.#peer = init.peer
    this.#architectures = architecturesOf(this.#spec, model, input)
    this.#own = this.#architectures.map(({ model }, i) => new LocalTrainer(backend, data, model, training, deriveSeed(seed, 'peer', init.peer, i)))
    this.#bench = new ModelBench({
      peer: init.peer,
      cap: this.#spec.cap,
      maxBytes: this.#spec.maxBytes,
      architectures: this.#architectures,
      tasks: tasks.map(cardTask),
      ownTasks: data.tasks.map(({ id }) => id),
      parametersOf: ({ model }, ids) => parametersOf(charter, model, ids)
    })
  }

  describe (): PeerDescription { return describePeer(this.#charter, this.#data) }

  progress (): PeerProgress { return { step: this.#step, version: this.#version } }

  /** As many gradient steps of each of its models, or what is left of the training. @returns the losses of the last one, by model and task */
  async step (n: number): Promise<readonly TaskLoss[]> {
    const end = Math.min(this.#step + n, this.describe().steps)
    const losses: TaskLoss[] = []
    for (; this.#step < end; this.#step++) {
      losses.length = 0
      for (const model of this.#own) losses.push(...await model.step(this.#step))
    }
    return losses
  }

  /** Its models as they are now, one version up. The weights are copies. @throws {InvalidParametersError} one has diverged */
  async publish (): Promise<readonly Published[]> {
    this.#version++
    this.#answeredAt = undefined
    await this.#answer()
    return this.#bench.entries.filter(({ own }) => own).map(({ card, accuracy }) => ({
      card: { ...card, ...Number.isNaN(accuracy) ? {} : { valAccuracy: Number(accuracy.toFixed(3)) } },
      weights: joinedWeights((this.#own[this.#architectures.findIndex((_, i) => modelIdOf(i) === card.modelId)] as LocalTrainer).units)
    }))
  }

  /** Whether to pull a model, by its card. */
  wanted (card: ModelCard): { readonly wanted: boolean, readonly reason: string } { return this.#bench.wanted(card) }

  /**
   * A peer's model, asked about the site's rows. The sender of weights that are not what their card says is told by the
   * reason; nothing here breaks.
   * @param weights - one after the other as the card's tasks have them; already checked against the card's hash
   */
  async consider (card: ModelCard, weights: Float32Array): Promise<Considered> {
    const refused = (reason: string): Considered => ({ accuracy: Number.NaN, kept: false, reason })
    const { wanted, reason } = this.#bench.wanted(card)
    if (!wanted) return refused(reason)
    if (weights.length !== card.parameters) return refused(`${weights.length} weights came, the card says ${card.parameters}`)
    if (!allFinite(weights)) return refused('its weights are not finite')
    const architecture = this.#architectures.find(({ id }) => id === card.arch) as Architecture
    const answers = await this.#ask(architecture, card.tasks.map(({ id }) => this.#charter.tasks.find(task => task.id === id) as TaskSpec), weights)
    if (!finiteAnswers(answers)) return refused('it gives answers that are not finite')
    const entry: BenchEntry = { card, own: false, accuracy: this.#accuracyOf(answers), answers }
    return { accuracy: entry.accuracy, ...this.#bench.put(entry) }
  }

  /** Chooses the committees anew; what was served is replaced when all are chosen. */
  async select (): Promise<Explanation> {
    await this.#answer()
    const { entries } = this.#bench
    const choices = new Map<string, Choice>()
    for (const task of this.#data.tasks) {
      const able = entries.filter(({ answers }) => answers.get('holdout')?.has(task.id) === true)
      choices.set(task.id, choose(task, naturalTargets(task, this.#data.holdout), able, {
        spec: this.#spec,
        seed: this.#seedOf(task),
        running: this.#committee.get(task.id)?.members ?? []
      }))
    }
    this.#committee = choices
    this.#bench.seat([...choices.values()].flatMap(({ members }) => members))
    return this.#explain()
  }

  /** Who serves now and why. @throws {ProtocolError} nobody was chosen yet */
  explain (): Explanation {
    if (this.#committee.size === 0) throw new ProtocolError('no committee was chosen yet')
    return this.#explain()
  }

  /** Metrics on the test rows of what is served, and beside it of the site's own models, the whole bench and the best single model. */
  async report (): Promise<ClientReport> {
    if (this.#committee.size === 0) await this.select()
    return benchReport({
      data: this.#data,
      smoothing: this.#charter.training.smoothing,
      combination: this.#spec.combination,
      entries: this.#bench.entries,
      committee: this.#committee,
      simple: fitSimple(this.#data)
    })
  }

  /** Everything a restart needs, to be written as one checkpoint: its models, and the answers of those of others. */
  save (): NamedTensor[] {
    return [
      vector('progress', Float32Array.of(this.#step, this.#version)),
      ...this.#own.flatMap((model, i) => model.units.flatMap(unit => saveUnit(`${modelIdOf(i)}/${unit.name}`, unit))),
      ...saveBench(this.#bench)
    ]
  }

  /** Committees are chosen anew by the next `select`. @throws {InvalidParametersError} the checkpoint is of another model */
  load (state: readonly NamedTensor[]): void {
    const saved = new SavedState(state)
    const [step, version] = saved.need('progress', 2) as unknown as [number, number]
    const units = this.#own.flatMap((model, i) => model.units.map(unit => [unit, saved.unit(`${modelIdOf(i)}/${unit.name}`, unit)] as const))
    const others = readBench(state, this.#data)
    for (const [unit, held] of units) unit.load(held) // all of it or nothing
    for (const { card, answers } of others.entries) this.#bench.put({ card, own: false, accuracy: this.#accuracyOf(answers), answers })
    this.#bench.forget(others.gone)
    this.#step = step
    this.#version = version
    this.#answeredAt = undefined
    this.#committee = new Map()
  }

  /** Hash over every weight of its own; equal on two runs that went the same way. */
  fingerprint (): string { return fingerprintOf(this.#own.flatMap((model, i) => model.units.map(unit => [`${modelIdOf(i)}/${unit.name}`, unit.parameters] as const))) }

  liveTensors (): number { return this.#backend.liveTensors() }

  dispose (): void { for (const model of [...this.#own, ...this.#guests.values()]) model.dispose() }

  #explain (): Explanation {
    const { entries } = this.#bench
    return { peer: this.#peer, models: entries.length, own: entries.filter(({ own }) => own).length, tasks: [...this.#committee.values()].map(({ explanation }) => explanation) }
  }

  /** The site's own models give their answers, where they have learnt since they did. */
  async #answer (): Promise<void> {
    if (this.#answeredAt === this.#step) return
    const tasks = this.#data.tasks.map(({ id }) => id)
    for (const [i, model] of this.#own.entries()) {
      const { id, model: spec } = this.#architectures[i] as Architecture
      const answers = await this.#answersOf(new ClientLayout(this.#data, spec, this.#charter.training.smoothing), this.#data.tasks, model)
      if (!finiteAnswers(answers)) throw new InvalidParametersError(`${modelIdOf(i)} has diverged in ${this.#step} steps: its answers are not finite`, { next: 'lower training.lrLocal' })
      const parameters = parametersOf(this.#charter, spec, tasks)
      const card: CardDraft = { peer: this.#peer, modelId: modelIdOf(i), version: this.#version, arch: id, parameters, bytes: FLOAT_BYTES * parameters, tasks: this.#data.tasks.map(cardTask) }
      this.#bench.put({ card, own: true, accuracy: this.#accuracyOf(answers), answers })
    }
    this.#answeredAt = this.#step
  }

  /** What a peer's model answers. */
  async #ask (architecture: Architecture, tasks: readonly TaskSpec[], weights: Float32Array): Promise<Answers> {
    const key = [architecture.id, ...tasks.map(({ id }) => id)].join(' ')
    const guest = this.#guests.get(key) ?? this.#guest(architecture, tasks)
    this.#guests.delete(key) // nobody else fills it meanwhile
    try {
      let rest = weights
      for (const { parameters } of guest.units) {
        parameters.set(rest.subarray(0, parameters.length))
        rest = rest.subarray(parameters.length)
      }
      return await this.#answersOf(guest, tasks, guest)
    } finally {
      this.#keep(key, guest)
    }
  }

  /** It does not learn: without moments it takes a third of the memory. */
  #guest ({ model }: Architecture, tasks: readonly TaskSpec[]): WholeModel {
    return new WholeModel(this.#backend, { ...this.#data, tasks }, model, { seed: 0, training: { ...this.#charter.training, optimiser: 'sgd' }, rate: 0 })
  }

  #keep (key: string, guest: WholeModel): void {
    this.#guests.get(key)?.dispose()
    this.#guests.set(key, guest)
    let room = GUESTS * weightCount(this.#own.flatMap(({ units }) => units))
    for (const [of, model] of [...this.#guests].reverse()) {
      room -= weightCount(model.units)
      if (room >= 0 || of === key) continue
      this.#guests.delete(of)
      model.dispose()
    }
  }

  /** To the site's rows, for the tasks that it has itself, in the order of its rows. */
  async #answersOf (layout: ClientLayout, tasks: readonly TaskSpec[], trained: Pick<LocalTrainer, 'predict'>): Promise<Answers> {
    const answers = new Map<EvaluationSplit, ReadonlyMap<string, TensorData>>()
    for (const split of splitsOf(this.#data)) {
      const given = await trained.predict(rowsOf(this.#data, split))
      const both = this.#data.tasks.filter(({ id }) => tasks.some(task => task.id === id))
      answers.set(split, new Map(both.map(task => [task.id, layout.natural(task.id, given.get(task.id) ?? noRows(task))])))
    }
    return answers
  }

  /** Mean over the tasks that it answers and the hold-out has labels for. */
  #accuracyOf (answers: Answers): number {
    const values = this.#data.tasks.flatMap(task => {
      const given = answers.get('holdout')?.get(task.id)
      const value = given === undefined ? Number.NaN : accuracyOf(task, naturalTargets(task, this.#data.holdout), given, this.#seedOf(task))
      return Number.isNaN(value) ? [] : [value]
    })
    return values.reduce((sum, value) => sum + value, 0) / values.length
  }

  #seedOf ({ id }: TaskSpec): number { return deriveSeed(this.#charter.seed, 'select', this.#peer, id) }
}

/** What can be said of a site without building anything. @throws {InvalidParametersError} the charter has no bench, or its models do not fit the rows */
export function describePeer (charter: Charter, { id, tasks, train, holdout, test }: ClientData): PeerDescription {
  const { model, training, input } = charter
  const spec = benchOf(charter)
  const publishAt = publicationSteps(spec, training)
  return {
    client: id,
    tasks: tasks.map(task => task.id),
    samples: { train: train.count, holdout: holdout.count, test: test.count },
    models: architecturesOf(spec, model, input).map(({ id, model }, i) => {
      const parameters = parametersOf(charter, model, tasks.map(task => task.id))
      return { modelId: modelIdOf(i), arch: id, parameters, bytes: FLOAT_BYTES * parameters }
    }),
    steps: publishAt.at(-1) as number,
    publishAt
  }
}

function benchOf ({ bench }: Charter): BenchSpec {
  if (bench === undefined) throw new InvalidParametersError('the charter has no bench section: its sites do not trade models', { next: 'make one with `fmtl-node charter --strategy fedpae`' })
  return bench
}

function parametersOf (charter: Charter, model: ModelSpec, tasks: readonly string[]): number {
  const { trunk, parts } = modelFloats({ ...charter, model }, tasks)
  return trunk + Object.values(parts).reduce((sum, floats) => sum + floats, 0)
}

function finiteAnswers (answers: Answers): boolean {
  return [...answers.values()].every(byTask => [...byTask.values()].every(({ data }) => allFinite(data)))
}

function noRows ({ positions, channels }: TaskSpec): TensorData {
  return { shape: [0, elements(positions), channels], data: new Float32Array(0) }
}
