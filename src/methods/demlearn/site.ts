/** A site's half of DemLearn: a model of its own, pulled to its group while it trains and mixed with it after every step. */
import { WholeModel } from '../../training/whole-model.ts'
import { difference, followed } from '../../training/local-rules.ts'
import { localSteps } from '../local-steps.ts'
import { vector } from '../../training/saved-state.ts'
import { wholeUnits } from '../../models/units.ts'
import { withValues } from '../with-values.ts'
import { dataByName } from '../../tensor/tensor.ts'
import type { DemlearnOptions } from './index.ts'
import type { NamedTensor } from '../../tensor/tensor.ts'
import type { Predictions, SiteInit, SiteMethod } from '../method.ts'
import type { Rows } from '../../data/dataset.ts'
import type { SavedState } from '../../training/saved-state.ts'
import type { TaskLoss } from '../../backbone/frames.ts'
import type { Weights } from '../../training/unit.ts'

type Values = ReadonlyMap<string, Float32Array>

const TRAINED = 'trained/'

export class DemlearnSite implements SiteMethod {
  readonly #init: SiteInit
  readonly #options: DemlearnOptions
  readonly #model: WholeModel
  readonly #shared: readonly Weights[]
  /** As the last contribution left them: what a group is mixed into, however often it is told. */
  #trained: Values = new Map()
  /** The model of the group that this site hangs at, as it was told last. */
  #group: Values = new Map()

  constructor (init: SiteInit, options: DemlearnOptions) {
    const { backend, charter, data } = init
    const { model, training, seed } = charter
    this.#init = init
    this.#options = options
    this.#model = new WholeModel(backend, data, model, { seed, training, rate: training.lrLocal })
    const shared = wholeUnits(charter)
    this.#shared = this.#model.units.filter(({ name }) => shared.has(name))
  }

  get units (): readonly Weights[] { return this.#model.units }

  async contribute (step: number): Promise<{ sent: readonly NamedTensor[], losses: readonly TaskLoss[] }> {
    const starts = new Map(this.#shared.map(unit => [unit.name, unit.startValues()]))
    const anchors = new Map([...starts].map(([name, start]) => [name, this.#group.get(name) ?? start]))
    const losses = await localSteps(step, { ...this.#init, model: this.#model, anchors, mu: this.#options.mu })
    this.#trained = new Map(this.#shared.map(({ name, parameters }) => [name, parameters.slice()]))
    return { sent: this.#shared.map(({ name, parameters }) => vector(name, difference(parameters, starts.get(name) as Float32Array))), losses }
  }

  receive (_step: number, told: readonly NamedTensor[]): void {
    if (told.length === 0) return
    this.#group = dataByName(told)
    for (const unit of this.#shared) {
      const group = this.#group.get(unit.name)
      if (group !== undefined) unit.set(followed(this.#trainedOf(unit), group, this.#options.alpha))
    }
  }

  async predict (rows: Rows): Promise<Predictions> { return await this.#model.predict(rows) }

  variants (): ReadonlyMap<string, (rows: Rows) => Promise<Predictions>> {
    return this.#group.size === 0 ? new Map() : new Map([['group', async rows => await withValues(this.#shared, this.#group, async () => await this.#model.predict(rows))]])
  }

  save (): NamedTensor[] { return this.#shared.map(unit => vector(`${TRAINED}${unit.name}`, this.#trainedOf(unit))) }

  load (saved: SavedState): void {
    this.#trained = new Map(this.#shared.map(({ name, parameters }) => [name, saved.need(`${TRAINED}${name}`, parameters.length)]))
  }

  dispose (): void { this.#model.dispose() }

  #trainedOf (unit: Weights): Float32Array { return this.#trained.get(unit.name) ?? unit.startValues() }
}
