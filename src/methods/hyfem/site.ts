/**
 * A site of HyFEM: encoders of the blocks that it has, a hidden layer over their features, heads. It begins each contribution with
 * its part of what was matched, and pays for leaving it; what it sends are its weights, which is what can be matched.
 */
import { BIAS, fusionName, splitFusion } from './layout.ts'
import { BlockModel } from '../../training/block-model.ts'
import { blockColumns } from '../../models/blocks.ts'
import { localStepsOf } from '../../training/spec.ts'
import { pullToAnchor } from './matching.ts'
import { vector } from '../../training/saved-state.ts'
import { dataByName } from '../../tensor/tensor.ts'
import type { HyfemOptions } from './hyfem.ts'
import type { NamedTensor } from '../../tensor/tensor.ts'
import type { Predictions, SiteInit, SiteMethod } from '../method.ts'
import type { Rows } from '../../data/dataset.ts'
import type { TaskLoss } from '../../backbone/frames.ts'
import type { Weights } from '../../training/unit.ts'

const FUSION = 'fusion'

export class HyfemSite implements SiteMethod {
  readonly #init: SiteInit
  readonly #mu: number
  /** The blocks that this site has, in order. */
  readonly #held: readonly number[]
  readonly #model: BlockModel

  constructor (init: SiteInit, { blocks, holds, mu }: HyfemOptions) {
    const { backend, charter: { model: { backbone }, training, seed, input }, data, seat } = init
    const columns = blockColumns(blocks, input)
    this.#init = init
    this.#mu = mu
    this.#held = holds[seat.rank % holds.length] ?? [...columns.keys()]
    this.#model = new BlockModel(backend, data, backbone, { seed, training, rate: training.lrLocal, columns, held: this.#held })
  }

  get units (): readonly Weights[] { return this.#model.units }

  async contribute (step: number): Promise<{ sent: readonly NamedTensor[], losses: readonly TaskLoss[] }> {
    const steps = localStepsOf(this.#init.charter.training)
    const anchors = new Map(this.units.map(({ name, parameters }) => [name, this.#tensors(name, parameters.slice())]))
    const losses: TaskLoss[] = []
    for (let local = step * steps; local < (step + 1) * steps; local++) {
      const pass = await this.#model.pass(this.#init.batch(local))
      for (const [v, pieces] of pass.pieces) this.#init.protect(`block ${v} of a batch`, pieces)
      losses.push(...pass.losses)
      for (const unit of this.units) {
        const gradient = pass.gradients.get(unit.name) as Float32Array
        this.#pull(unit, gradient, anchors.get(unit.name) as ReadonlyMap<string, Float32Array>)
        unit.learn(gradient, local)
      }
    }
    return { sent: this.units.flatMap(({ name, parameters }) => [...this.#tensors(name, parameters)].map(([part, values]) => vector(part, values))), losses }
  }

  receive (step: number, told: readonly NamedTensor[]): void {
    const byName = dataByName(told)
    const fusion = [...this.#held.map(fusionName), BIAS].map(name => byName.get(name))
    for (const unit of this.units) {
      const values = unit.name !== FUSION ? byName.get(unit.name) : fusion.includes(undefined) ? undefined : Float32Array.from((fusion as Float32Array[]).flatMap(part => [...part]))
      if (values !== undefined) unit.set(values)
      else if (step === 0) unit.set(unit.startValues())
    }
  }

  async predict (rows: Rows): Promise<Predictions> { return await this.#model.predict(rows) }

  dispose (): void { this.#model.dispose() }

  /** Encoders are no part of what is matched: nothing pulls them. */
  #pull ({ name, parameters }: Weights, gradient: Float32Array, anchors: ReadonlyMap<string, Float32Array>): void {
    if (name.startsWith('encoder/')) return
    const values = this.#tensors(name, parameters)
    for (const [part, slope] of this.#tensors(name, gradient)) pullToAnchor(slope, values.get(part) as Float32Array, anchors.get(part) as Float32Array, this.#mu)
  }

  /** Parts of a unit, which travel and whose distances to their anchors count one by one. */
  #tensors (name: string, values: Float32Array): ReadonlyMap<string, Float32Array> {
    return name === FUSION ? splitFusion(values, this.#held, this.#init.charter) : new Map([[name, values]])
  }
}
