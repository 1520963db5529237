/**
 * A site's half of TAP. It holds two models: its copy of the agreed one, which it trains and whose changes it sends, and a
 * personal one, which never leaves and is what it serves.
 *
 *     a step, where it is this site's turn
 *       agreed <- what the host told; E gradient steps       lossA[o] = mean of (share of o) * loss of o
 *       for every task o: lossA[o] + margin < lossP[o] ->     personal modules on o's path <- copies of the agreed ones
 *       E gradient steps of the personal model, on other batches where it was replaced     lossP[o]
 *     after the last step
 *       teacher  = agreed model, tuned on the site's rows
 *       personal = tuned as well, and pulled to the teacher's outputs
 *
 * lossP is infinite at first: the first time, all is replaced. It changes only in steps that the site takes part in.
 */
import { ModularModel } from './model.ts'
import { clipped, itsTurn, moved, replaces, warmedRate } from './rules.ts'
import { difference } from '../../training/local-rules.ts'
import { kdWeightOf, marginOf } from './options.ts'
import { localStepsOf, totalSteps } from '../../training/spec.ts'
import { inputName } from '../../models/inputs.ts'
import { modulePath, ownModules } from '../../models/modular.ts'
import { vector } from '../../training/saved-state.ts'
import { WANTS, modulesOf } from './exchange.ts'
import { dataByName } from '../../tensor/tensor.ts'
import type { ModularPass, Teaching, WeightSet } from './model.ts'
import type { NamedTensor } from '../../tensor/tensor.ts'
import type { Predictions, SiteInit, SiteMethod } from '../method.ts'
import type { Rows } from '../../data/dataset.ts'
import type { SavedState } from '../../training/saved-state.ts'
import type { TapOptions } from './options.ts'
import type { TaskLoss } from '../../backbone/frames.ts'
import type { Weights } from '../../training/unit.ts'

/** After the last step, from there on. */
interface StageTwo {
  readonly teacher: WeightSet
  readonly personal: WeightSet
}

export class TapSite implements SiteMethod {
  readonly #init: SiteInit
  readonly #options: TapOptions
  readonly #model: ModularModel
  readonly #agreed: WeightSet
  readonly #personal: WeightSet
  readonly #steps: number
  readonly #total: number
  readonly #personalLoss = new Map<string, number>()
  readonly #modules: readonly string[]
  /** How many tasks were replaced, by step. */
  readonly #replaced: Float32Array
  /** What was told last, where the site is to notice that nothing moves any more; before which step, and for how many of its steps. */
  readonly #told = new Map<string, Float32Array>()
  #toldAt = -1
  #still = 0
  #two: StageTwo | undefined

  constructor (init: SiteInit, options: TapOptions) {
    const { backend, charter, data } = init
    const { training } = charter
    this.#init = init
    this.#options = options
    this.#model = new ModularModel(backend, charter, data)
    this.#steps = localStepsOf(training)
    this.#total = totalSteps(training)
    const schedule = { low: options.lowRate * training.lrLocal, peak: training.lrLocal, rounds: options.warmupRounds }
    const rateAt = (step: number): number => warmedRate(step, schedule)
    this.#agreed = this.#model.weights('', rateAt)
    this.#personal = this.#model.weights('personal/', rateAt)
    this.#replaced = new Float32Array(this.#total)
    this.#modules = [...modulesOf(charter).keys()]
  }

  get units (): readonly Weights[] { return [...this.#agreed.units, ...this.#personal.units] }

  async contribute (step: number): Promise<{ sent: readonly NamedTensor[], losses: readonly TaskLoss[] }> {
    if (!this.#takesPart(step)) return { sent: [this.#wants(step)], losses: [] }
    const { data, protect } = this.#init
    const before = this.#agreed.units.map(({ parameters }) => parameters.slice())
    const agreed = await this.#train(this.#agreed, step, step * this.#steps)
    const input = inputName(data.input)
    for (const task of data.tasks) {
      if (!replaces(agreed.shares.get(task.id) as number, this.#personalLoss.get(task.id) ?? Infinity, marginOf(task, data.input, this.#options))) continue
      const { copies } = this.#options
      this.#copy(copies === 'path' ? modulePath([input], task.id) : ownModules([input], task.id))
      this.#replaced[step] = (this.#replaced[step] as number) + 1
    }
    // On the batches that the agreed model has just learnt it would learn nothing new.
    const order = step * this.#steps + ((this.#replaced[step] as number) > 0 ? this.#total * this.#steps : 0)
    const personal = await this.#train(this.#personal, step, order)
    for (const [task, loss] of personal.shares) this.#personalLoss.set(task, loss)
    for (const { name, parameters } of this.#personal.units) protect(`the ${name}`, parameters)
    const sent = this.#agreed.units.map(({ name, parameters }, i) => vector(name, difference(parameters, before[i] as Float32Array)))
    return { sent: [...sent, this.#wants(step)], losses: agreed.losses }
  }

  receive (step: number, told: readonly NamedTensor[]): void {
    // What comes again after a reconnect is nobody's turn: values that are not trained from are not taken over.
    if (told.length === 0 || !this.#needs(step)) return
    const byName = dataByName(told)
    for (const unit of this.#agreed.units) unit.set(byName.get(unit.name) ?? unit.parameters)
    if (this.#options.tolerance > 0 && step !== this.#toldAt) this.#notice(step, byName)
  }

  async finish (): Promise<void> {
    const { charter, data } = this.#init
    const { lowRate, temperature, tuneSteps } = this.#options
    const rateAt = (): number => lowRate * charter.training.lrLocal
    const [teacher, personal] = [this.#model.weights('teacher/', rateAt), this.#model.weights('tuned/', rateAt)]
    copyAll(this.#agreed, teacher)
    copyAll(this.#personal, personal)
    const weights = new Map(data.tasks.map(task => [task.id, kdWeightOf(task, data.input, this.#options)]))
    const first = 2 * this.#total * this.#steps
    for (let i = 0; i < tuneSteps; i++) await this.#learn(teacher, 0, first + i)
    for (let i = 0; i < tuneSteps; i++) await this.#learn(personal, 0, first + tuneSteps + i, { teacher, temperature, weightOf: task => weights.get(task) as number })
    this.#two = { teacher, personal }
  }

  async predict (rows: Rows): Promise<Predictions> { return await this.#model.predict(this.#two?.personal ?? this.#personal, rows) }

  variants (): ReadonlyMap<string, (rows: Rows) => Promise<Predictions>> {
    const sets = new Map([['agreed', this.#agreed], ...this.#two === undefined ? [] : [['agreed, tuned', this.#two.teacher] as const], ['stage 1', this.#personal]])
    return new Map([...sets].map(([name, set]) => [name, async (rows: Rows) => await this.#model.predict(set, rows)]))
  }

  save (): NamedTensor[] {
    const { tasks } = this.#init.data
    return [
      vector('tap/personal-loss', Float32Array.from(tasks, ({ id }) => this.#personalLoss.get(id) ?? Infinity)),
      vector('tap/replaced', this.#replaced),
      vector('tap/still', Float32Array.of(this.#still, this.#toldAt)),
      ...[...this.#told].map(([name, values]) => vector(`tap/told/${name}`, values))
    ]
  }

  load (saved: SavedState): void {
    const { tasks } = this.#init.data
    const losses = saved.need('tap/personal-loss', tasks.length)
    this.#replaced.set(saved.need('tap/replaced', this.#total))
    const still = saved.need('tap/still', 2)
    this.#still = still[0] as number
    this.#toldAt = still[1] as number
    for (const { name, parameters: { length } } of this.#agreed.units) if (saved.find(`tap/told/${name}`) !== undefined) this.#told.set(name, saved.need(`tap/told/${name}`, length))
    tasks.forEach(({ id }, i) => { this.#personalLoss.set(id, losses[i] as number) })
  }

  dispose (): void { this.#model.dispose() }

  /** E gradient steps. @returns the losses of all, and by task the mean of its losses, each times its share of the batch */
  async #train (set: WeightSet, step: number, from: number): Promise<{ losses: readonly TaskLoss[], shares: ReadonlyMap<string, number> }> {
    const passes: ModularPass[] = []
    for (let i = 0; i < this.#steps; i++) passes.push(await this.#learn(set, step, from + i))
    const mean = (task: string): number => Math.fround(passes.reduce((sum, { shares }) => sum + (shares.get(task) as number), 0) / passes.length)
    return { losses: passes.flatMap(({ losses }) => losses), shares: new Map(this.#init.data.tasks.map(({ id }) => [id, mean(id)])) }
  }

  async #learn (set: WeightSet, step: number, batchOf: number, teaching?: Teaching): Promise<ModularPass> {
    const pass = await this.#model.pass(set, this.#init.batch(batchOf), teaching)
    this.#init.protect('the pieces of a batch', pass.pieces.data)
    if (this.#options.clip > 0) clipped(pass.gradients, this.#options.clip)
    set.units.forEach((unit, i) => { unit.learn(pass.gradients[i] as Float32Array, step) })
    return pass
  }

  /** Whether anything has moved since the last time. */
  #notice (step: number, told: ReadonlyMap<string, Float32Array>): void {
    const { tolerance, patience } = this.#options
    const most = Math.max(...this.#agreed.units.map(({ name, parameters }) => moved(this.#told.get(name) ?? NOTHING, told.get(name) ?? parameters)))
    for (const { name, parameters } of this.#agreed.units) this.#told.set(name, parameters.slice())
    if (this.#still < patience) this.#still = most > tolerance ? 0 : this.#still + 1
    this.#toldAt = step
  }

  #copy (modules: readonly string[]): void {
    this.#agreed.units.forEach(({ name, parameters }, i) => { if (modules.includes(name)) this.#personal.units[i]?.set(parameters) })
  }

  #takesPart (step: number): boolean {
    const { charter: { seed }, seat } = this.#init
    const { share, tolerance, patience } = this.#options
    if (step >= this.#total || (tolerance > 0 && this.#still >= patience)) return false
    return itsTurn(seed, step, seat, share)
  }

  /** Whether the values before this step are of use: to train from, or to teach with at the end. */
  #needs (step: number): boolean { return step >= this.#total || this.#takesPart(step) }

  /** Tells the host which modules this site must hear of before the next step. */
  #wants (step: number): NamedTensor {
    const needs = this.#needs(step + 1)
    const own = new Set(this.#model.graphs.keys())
    return vector(WANTS, Float32Array.from(this.#modules, name => needs && own.has(name) ? 1 : 0))
  }
}

const NOTHING = new Float32Array(0)

function copyAll (from: WeightSet, to: WeightSet): void { to.units.forEach((unit, i) => { unit.set((from.units[i] as Weights).parameters) }) }
