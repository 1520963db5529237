/** Split-Mix, a site's half: it trains the bases that it can afford, and serves a mixture of any width and robustness. */
import { DualForm, DualModel } from '../../training/dual-model.ts'
import { Random, deriveSeed } from '../../random.ts'
import { WISH } from './host.ts'
import { attackOf, basesOfWidth, sidesOf } from './options.ts'
import { basesAt, budgetOf, orderOf } from './plan.ts'
import { isAdversary } from '../../robustness/adversaries.ts'
import { difference } from '../../training/local-rules.ts'
import { localStepsOf } from '../../training/spec.ts'
import { narrowed, prefixOf, startOf } from './bases.ts'
import { vector } from '../../training/saved-state.ts'
import type { NamedTensor } from '../../tensor/tensor.ts'
import type { Predictions, SiteInit, SiteMethod } from '../method.ts'
import type { Rows } from '../../data/dataset.ts'
import type { SplitMixOptions } from './options.ts'
import type { TaskLoss } from '../../backbone/frames.ts'
import type { Weights } from '../../training/unit.ts'

export class SplitMixSite implements SiteMethod {
  readonly units: readonly Weights[]
  readonly #init: SiteInit
  readonly #options: SplitMixOptions
  readonly #form: DualForm
  readonly #bases: readonly DualModel[]
  readonly #byName: ReadonlyMap<string, Weights>
  readonly #adversary: boolean

  constructor (init: SiteInit, options: SplitMixOptions) {
    const { backend, charter: { model, training, seed }, data, seat } = init
    this.#init = init
    this.#options = options
    this.#form = new DualForm(backend, data, narrowed(model, options.bases), training.smoothing)
    const sides = sidesOf(options)
    this.#bases = Array.from({ length: options.bases }, (_, base) => new DualModel(this.#form, { seed, training, rate: training.lrLocal, sides, prefix: prefixOf(base), startOf: startOf({ ...options, sides }) }))
    this.units = this.#bases.flatMap(base => base.units)
    this.#byName = new Map(this.units.map(unit => [unit.name, unit]))
    this.#adversary = options.lambdaTrain > 0 && isAdversary(options.adversaries, seat)
  }

  async contribute (step: number): Promise<{ sent: readonly NamedTensor[], losses: readonly TaskLoss[] }> {
    const chosen = this.#chosenAt(step)
    const models = chosen.map(base => this.#bases[base] as DualModel)
    const before = new Map(models.flatMap(({ units }) => units).map(unit => [unit, unit.parameters.slice()]))
    const steps = localStepsOf(this.#init.charter.training)
    const losses: TaskLoss[] = []
    for (let local = step * steps; local < (step + 1) * steps; local++) {
      const batch = this.#init.batch(local) // the same for all bases
      const overBases: Array<readonly TaskLoss[]> = []
      for (const [i, model] of models.entries()) {
        const { pieces, gradients, losses: found } = this.#adversary
          ? await model.passBoth(batch, this.#options.lambdaTrain, attackOf(this.#options), new Random(deriveSeed(this.#init.charter.seed, 'attack', this.#init.data.id, local, chosen[i] as number)))
          : await model.pass(batch)
        this.#init.protect('the pieces of a batch', pieces.data)
        model.learn(gradients, local)
        overBases.push(found)
      }
      losses.push(...meanOver(overBases))
    }
    const sent = [...before].filter(([unit]) => this.#adversary || !unit.name.includes('/adversarial/')).map(([unit, from]) => vector(unit.name, difference(unit.parameters, from)))
    return { sent: [...sent, vector(WISH, this.#wishAfter(step))], losses }
  }

  receive (_step: number, told: readonly NamedTensor[]): void {
    // Heads of tasks that others have are of no use here.
    for (const { name, tensor } of told) this.#byName.get(name)?.set(tensor.data)
  }

  async predict (rows: Rows): Promise<Predictions> { return await this.#mixture(this.#options.width, this.#options.lambda, rows) }

  variants (): ReadonlyMap<string, (rows: Rows) => Promise<Predictions>> {
    const { bases, lambdaTrain } = this.#options
    const variants = new Map<string, (rows: Rows) => Promise<Predictions>>()
    for (let count = 1; count <= bases; count++) variants.set(`width ${count}/${bases}`, async rows => await this.#mixture(count / bases, this.#options.lambda, rows))
    for (const lambda of lambdaTrain > 0 ? LAMBDAS : []) {
      variants.set(`lambda ${lambda}`, async rows => await this.#mixture(1, lambda, rows))
      variants.set(`lambda ${lambda} attacked`, async rows => await this.#attacked(lambda, rows))
    }
    return variants
  }

  dispose (): void { this.#form.dispose() }

  #chosenAt (step: number): readonly number[] {
    const { charter: { seed }, seat } = this.#init
    const { bases, budgets } = this.#options
    return basesAt(step, seat, { seed, bases, count: budgetOf(budgets, seat, bases) })
  }

  #wishAfter (step: number): Float32Array {
    const wish = new Float32Array(this.#options.bases)
    for (const base of this.#chosenAt(step + 1)) wish[base] = 1
    return wish
  }

  /** Bases for a width, in the order on offer. */
  async #order (width: number): Promise<readonly DualModel[]> {
    const count = basesOfWidth(width, this.#bases.length)
    const { data: { holdout } } = this.#init
    if (!this.#options.sorted || holdout.count === 0 || count === this.#bases.length) return this.#bases.slice(0, count)
    const scores: number[] = []
    for (const base of this.#bases) scores.push(-await this.#lossOn(base, holdout))
    return orderOf(scores).slice(0, count).map(base => this.#bases[base] as DualModel)
  }

  async #lossOn (base: DualModel, rows: Rows): Promise<number> {
    const predictions = await this.#form.predictWith([base.folded(this.#options.lambda)], rows)
    let [sum, count] = [0, 0]
    for (const task of this.#form.tasks) {
      const { id } = task.spec
      for (const loss of task.rowLoss(predictions.get(id) as NonNullable<ReturnType<typeof predictions.get>>, this.#form.targets(id, rows.y[id] as Float32Array, rows.count))) {
        if (Number.isNaN(loss)) continue
        sum += loss
        count++
      }
    }
    return count === 0 ? 0 : sum / count
  }

  async #mixture (width: number, lambda: number, rows: Pick<Rows, 'x' | 'count'>): Promise<Predictions> {
    return await this.#form.predictWith((await this.#order(width)).map(base => base.folded(lambda)), rows)
  }

  /** Under an attack on this very mixture, with the labels of the rows: for figures only. */
  async #attacked (lambda: number, rows: Rows): Promise<Predictions> {
    const members = this.#bases.map(base => base.folded(lambda))
    const x = await this.#form.attacked(members, rows, attackOf(this.#options), new Random(deriveSeed(this.#init.charter.seed, 'attacked', this.#init.data.id)))
    return await this.#form.predictWith(members, { x, count: rows.count })
  }
}

/** Robustness at which a report looks. */
const LAMBDAS = [0, 0.25, 0.5, 0.75, 1] as const

/** Mean losses of several models on one batch. */
function meanOver (models: ReadonlyArray<readonly TaskLoss[]>): readonly TaskLoss[] {
  return (models[0] ?? []).map((first, task) => ({ ...first, loss: models.reduce((sum, losses) => sum + (losses[task] as TaskLoss).loss, 0) / models.length }))
}
