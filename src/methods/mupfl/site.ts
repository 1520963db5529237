/** A site's half of MuPFL: trains the common model without its idle hidden units, and in the end a last layer of its own. */
import { Body, readsRows } from './body.ts'
import { MAP, isLastStep, meansMessage, readMeans } from './exchange.ts'
import { WholeModel } from '../../training/whole-model.ts'
import { activityOf, droppedUnits, remembered, silence, waysOut } from './activity.ts'
import { buildTrunk } from '../../models/trunk.ts'
import { deriveSeed } from '../../random.ts'
import { difference } from '../../training/local-rules.ts'
import { localSteps } from '../local-steps.ts'
import { totalSteps } from '../../training/spec.ts'
import { createHead } from '../../models/head.ts'
import { meansOf, tunedReadout } from './classifier.ts'
import { vector } from '../../training/saved-state.ts'
import { wholeUnits } from '../../models/units.ts'
import { withValues } from '../with-values.ts'
import { dataByName } from '../../tensor/tensor.ts'
import type { Batch } from '../../training/batches.ts'
import type { ClassMeans } from './classifier.ts'
import type { MupflOptions } from './index.ts'
import type { NamedTensor } from '../../tensor/tensor.ts'
import type { Parameter } from '../../graph/graph.ts'
import type { Predictions, SiteInit, SiteMethod } from '../method.ts'
import type { Rows } from '../../data/dataset.ts'
import type { SavedState } from '../../training/saved-state.ts'
import type { TaskLoss } from '../../backbone/frames.ts'
import type { Weights } from '../../training/unit.ts'
import type { WholePass } from '../../training/whole-model.ts'

type Heads = ReadonlyMap<string, Float32Array>

/** Before the name of a head, in checkpoints. */
export const TUNED = 'tuned/'

export class MupflSite implements SiteMethod {
  readonly #init: SiteInit
  readonly #options: MupflOptions
  readonly #model: WholeModel
  readonly #body: Body
  readonly #shared: readonly Weights[]
  readonly #trunk: Weights
  readonly #layers: readonly Parameter[]
  /** Per layer, how active its hidden units have been. */
  #maps: readonly Float32Array[]
  #others: ReadonlyMap<string, ClassMeans> = new Map()
  /** Heads with a last layer of this site's own, by unit; none before the last step is over. */
  #tuned: Heads = new Map()

  constructor (init: SiteInit, options: MupflOptions) {
    const { backend, charter, data } = init
    const { model, training, seed } = charter
    this.#init = init
    this.#options = options
    this.#model = new WholeModel(backend, data, model, { seed, training, rate: training.lrLocal })
    const { embedder, units } = this.#model
    this.#body = new Body(backend, { data, model, embedder, units })
    const shared = wholeUnits(charter)
    this.#shared = units.filter(({ name }) => shared.has(name))
    this.#trunk = units.find(({ name }) => name === 'trunk') as Weights
    this.#layers = waysOut(buildTrunk(model.backbone))
    this.#maps = this.#layers.map(({ shape: [hidden] }) => new Float32Array(hidden as number))
  }

  get units (): readonly Weights[] { return this.#model.units }

  async contribute (step: number): Promise<{ sent: readonly NamedTensor[], losses: readonly TaskLoss[] }> {
    const { charter } = this.#init
    const classes = isLastStep(charter, step) ? await this.#classMeans() : []
    const anchors = new Map(this.#shared.map(({ name, parameters }) => [name, parameters.slice()]))
    const losses = await localSteps(step, { ...this.#init, model: this.#model, anchors, mu: 0, pass: async batch => await this.#passWithout(batch, this.#keepAt(step)) })
    const map = vector(MAP, Float32Array.from(this.#maps.flatMap(map => [...map])))
    return { sent: [...this.#shared.map(({ name, parameters }) => vector(name, difference(parameters, anchors.get(name) as Float32Array))), map, ...classes], losses }
  }

  receive (_step: number, told: readonly NamedTensor[]): void {
    const byName = dataByName(told)
    for (const unit of this.#shared) unit.set(byName.get(unit.name) ?? unit.parameters)
    this.#others = new Map(this.#tasks.flatMap(({ spec: { id } }) => {
      const means = readMeans(name => byName.get(name), id)
      return means === undefined ? [] : [[id, means]]
    }))
  }

  /** The readout of every task with one class per row, from the heads as all agreed on them. */
  async finish (): Promise<void> {
    const { charter: { seed, training: { lrLocal: rate }, model }, data } = this.#init
    const { tuneSteps: steps, rareBelow: least } = this.#options
    if (steps === 0 || data.train.count === 0) return
    const read = await this.#body.read(data.train)
    this.#tuned = new Map(this.#tasks.map(task => {
      const { id } = task.spec
      const { graph: { parameters } } = createHead(task.spec, this.#model.embedder, model.backbone.width, model.adapter)
      const [weight, bias] = ['readout.weight', 'readout.bias'].map(name => parameters.find(parameter => parameter.name === name) as Parameter) as [Parameter, Parameter]
      const head = (this.units.find(({ name }) => name === `head/${id}`) as Weights).parameters.slice()
      const readout = head.subarray(weight.offset, bias.offset + bias.size) // side by side, in this order
      const labels = data.train.y[id] as Float32Array
      readout.set(tunedReadout({ task, read: read.get(id) as Parameters<typeof tunedReadout>[0]['read'], labels, others: this.#others.get(id), least, readout, steps, rate, seed: deriveSeed(seed, data.id, id) }))
      return [`head/${id}`, head]
    }))
  }

  async predict (rows: Rows): Promise<Predictions> { return await withValues(this.units, this.#tuned, async () => await this.#model.predict(rows)) }

  /** What all agreed on, without a last layer of this site's own. */
  variants (): ReadonlyMap<string, (rows: Rows) => Promise<Predictions>> {
    return this.#tuned.size === 0 ? new Map() : new Map([['common', async rows => await this.#model.predict(rows)]])
  }

  save (): NamedTensor[] {
    return [...this.#maps.map((map, layer) => vector(`${MAP}/${layer}`, map)), ...[...this.#tuned].map(([name, head]) => vector(`${TUNED}${name}`, head))]
  }

  load (saved: SavedState): void {
    this.#maps = this.#maps.map(({ length }, layer) => saved.need(`${MAP}/${layer}`, length))
    this.#tuned = new Map(saved.names(TUNED).map(name => [name.slice(TUNED.length), saved.find(name) as Float32Array]))
  }

  dispose (): void {
    this.#body.dispose()
    this.#model.dispose()
  }

  get #tasks (): WholeModel['tasks'] { return this.#model.tasks.filter(({ spec }) => readsRows(spec)) }

  #keepAt (step: number): number {
    return step < totalSteps(this.#init.charter.training) / 2 ? this.#options.keep : this.#options.keepLate
  }

  /** A pass of the model without the units that are least active by now, these rows counted in. */
  async #passWithout (batch: Batch, keep: number): Promise<WholePass> {
    const hidden = await this.#body.hidden(batch)
    this.#maps = this.#maps.map((map, layer) => remembered(map, activityOf(hidden[layer] as Float32Array, map.length), this.#options.beta))
    const dropped = this.#maps.map(map => droppedUnits(map, keep))
    const weights = this.#trunk.parameters.slice()
    this.#layers.forEach((layer, i) => { silence(this.#trunk.parameters, layer, dropped[i] as number[]) })
    try {
      const pass = await this.#model.pass(batch)
      this.#layers.forEach((layer, i) => { silence(pass.gradients.get('trunk') as Float32Array, layer, dropped[i] as number[]) })
      return pass
    } finally {
      this.#trunk.set(weights)
    }
  }

  async #classMeans (): Promise<NamedTensor[]> {
    const { train } = this.#init.data
    if (this.#options.tuneSteps === 0 || train.count === 0) return []
    const read = await this.#body.read(train)
    return this.#tasks.flatMap(({ spec: { id, channels } }) => meansMessage(id, meansOf(read.get(id) as Parameters<typeof meansOf>[0], train.y[id] as Float32Array, channels, this.#options.rareBelow)))
  }
}
