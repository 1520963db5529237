/**
 * A site of FeDEQ. Embedder and equilibrium cell are shared, heads are its own. A contribution is some steps on the heads with
 * the shared part fixed, then some on the shared part, which descends its augmented loss (./admm.ts). The duals never leave.
 */
import { augmented, dualStep, share } from './admm.ts'
import { buildEquilibrium } from '../../models/equilibrium.ts'
import { ClientParts, sumTensors } from '../../training/client-parts.ts'
import { EVALUATION_ROWS, joinRows } from '../../training/evaluation.ts'
import { EquilibriumLayer, FORWARD } from './equilibrium-layer.ts'
import { dataByName, elements } from '../../tensor/tensor.ts'
import { localStepsOf } from '../../training/spec.ts'
import { meanOfLabelled } from '../../tasks/shapes.ts'
import { vector } from '../../training/saved-state.ts'
import type { Batch } from '../../training/batches.ts'
import type { Predictions, SiteInit, SiteMethod } from '../method.ts'
import type { FedeqOptions } from './fedeq.ts'
import type { HeadPass } from '../../training/client-parts.ts'
import type { NamedTensor, TensorData } from '../../tensor/tensor.ts'
import type { Rows } from '../../data/dataset.ts'
import type { SavedState } from '../../training/saved-state.ts'
import type { TaskLoss } from '../../backbone/frames.ts'
import type { Weights } from '../../training/unit.ts'

export const CELL = 'equilibrium'

interface Pass extends HeadPass {
  /** What the shared part would learn from. */
  shared (): Promise<ReadonlyMap<string, Float32Array>>
}

export class FedeqSite implements SiteMethod {
  readonly units: readonly Weights[]
  readonly #init: SiteInit
  readonly #options: FedeqOptions
  readonly #parts: ClientParts
  readonly #layer: EquilibriumLayer
  /** Embedder and cell. */
  readonly #shared: readonly Weights[]
  /** By unit: what all agreed on last, and this site's duals. */
  readonly #bar: Map<string, Float32Array>
  readonly #lam: Map<string, Float32Array>
  /** Step of the last contribution that no answer has come to, and of the last answer; -1 for none. */
  #open = -1
  #heard = -1
  #agreedServes = false

  constructor (init: SiteInit, options: FedeqOptions) {
    const { backend, charter: { model, training, seed }, data } = init
    this.#init = init
    this.#options = options
    const weights = { seed, training, rate: training.lrLocal, optimiser: training.optimiser ?? 'adamw' } as const
    this.#parts = new ClientParts(backend, data, model, weights)
    const { tolerance, forwardSteps, backwardSteps } = options
    this.#layer = new EquilibriumLayer(backend, CELL, buildEquilibrium(model.backbone), {
      ...weights,
      forward: { ...FORWARD, tolerance, maxSteps: forwardSteps },
      backward: { tolerance, maxSteps: backwardSteps }
    })
    this.#shared = [this.#parts.embedUnit, this.#layer.unit]
    this.units = [...this.#shared, ...this.#heads]
    this.#bar = new Map(this.#shared.map(({ name, parameters }) => [name, parameters.slice()]))
    this.#lam = new Map(this.#shared.map(({ name, parameters: { length } }) => [name, new Float32Array(length)]))
  }

  async contribute (step: number): Promise<{ sent: readonly NamedTensor[], losses: readonly TaskLoss[] }> {
    const { personal, rho, mode } = this.#options
    const steps = localStepsOf(this.#init.charter.training)
    // Both parts learn something even where there is one step for the two.
    const alone = Math.max(1, Math.min(steps - 1, Math.round(steps * personal)))
    const losses: TaskLoss[] = []
    for (let i = 0; i < steps; i++) {
      const local = step * steps + i
      const pass = await this.#pass(this.#init.batch(local))
      losses.push(...pass.losses)
      if (i < alone) for (const head of this.#heads) this.#learnHead(head, pass.gradients.get(head.name) as Float32Array, local)
      if (i >= alone || steps === 1) {
        const gradients = await pass.shared()
        for (const unit of this.#shared) unit.learn(augmented(gradients.get(unit.name) as Float32Array, this.#place(unit), rho), local)
      }
    }
    this.#open = step
    const sent = this.#shared.map(unit => {
      const { theta, bar, lam } = this.#place(unit)
      return vector(unit.name, share(theta, lam, rho, mode).map((value, i) => value - (bar[i] as number)))
    })
    if (mode === 'published') for (const unit of this.#shared) this.#step(unit)
    return { sent, losses }
  }

  receive (step: number, told: readonly NamedTensor[]): void {
    const byName = dataByName(told)
    const again = step === this.#heard
    const answered = this.#open === step - 1 && this.#open >= 0
    for (const unit of this.#shared) {
      const bar = byName.get(unit.name) ?? unit.startValues()
      this.#bar.set(unit.name, bar.slice())
      if (answered && this.#options.mode === 'exact') this.#step(unit)
      if (!answered && !again) unit.set(bar) // away, or new: it begins where the others are
    }
    this.#heard = step
    this.#open = -1
  }

  /** Serves what the hold-out speaks for: what all agreed on, or the shared part as the site left it, under the same heads. */
  async finish (): Promise<void> {
    const { holdout } = this.#init.data
    if (holdout.count === 0) return
    const loss = async (predict: (rows: Rows) => Promise<Predictions>): Promise<number> => {
      const predictions = await predict(holdout)
      return this.#parts.tasks.reduce((sum, task) => {
        const { id } = task.spec
        const value = meanOfLabelled(task.rowLoss(predictions.get(id) as TensorData, this.#parts.targets(id, holdout.y[id] as Float32Array, holdout.count)))
        return sum + (Number.isNaN(value) ? 0 : value)
      }, 0)
    }
    this.#agreedServes = await loss(this.#agreed) < await loss(this.#own)
  }

  async predict (rows: Rows): Promise<Predictions> { return await (this.#agreedServes ? this.#agreed : this.#own)(rows) }

  variants (): ReadonlyMap<string, (rows: Rows) => Promise<Predictions>> { return new Map([['agreed', this.#agreed], ['own', this.#own]]) }

  save (): NamedTensor[] {
    return [
      ...this.#shared.flatMap(({ name }) => [vector(`bar/${name}`, this.#bar.get(name) as Float32Array), vector(`lam/${name}`, this.#lam.get(name) as Float32Array)]),
      vector('fedeq.steps', Float32Array.of(this.#open, this.#heard, Number(this.#agreedServes)))
    ]
  }

  load (saved: SavedState): void {
    const found = this.#shared.map(({ name, parameters: { length } }) => [name, saved.need(`bar/${name}`, length), saved.need(`lam/${name}`, length)] as const)
    const [open = -1, heard = -1, agreedServes = 0] = saved.need('fedeq.steps', 3)
    for (const [name, bar, lam] of found) {
      this.#bar.set(name, bar)
      this.#lam.set(name, lam)
    }
    this.#open = open
    this.#heard = heard
    this.#agreedServes = agreedServes === 1
  }

  dispose (): void {
    this.#layer.dispose()
    this.#parts.dispose()
  }

  get #heads (): readonly Weights[] { return this.#parts.units.slice(1) }

  #place ({ name, parameters }: Weights): { theta: Float32Array, bar: Float32Array, lam: Float32Array } {
    return { theta: parameters, bar: this.#bar.get(name) as Float32Array, lam: this.#lam.get(name) as Float32Array }
  }

  #step (unit: Weights): void {
    const { theta, bar, lam } = this.#place(unit)
    const moved = dualStep(lam, theta, bar, this.#options.rho)
    this.#init.protect(`the duals of ${unit.name}`, moved)
    this.#lam.set(unit.name, moved)
  }

  #learnHead (head: Weights, gradient: Float32Array, step: number): void {
    this.#init.protect(`the gradient of ${head.name}`, gradient)
    head.learn(gradient, step)
    this.#init.protect(`the weights of ${head.name}`, head.parameters)
  }

  /** Forward to the losses and back to the heads' gradients. Nothing stays open in between: the rest needs the state alone. */
  async #pass (batch: Batch): Promise<Pass> {
    const { pieces, activations, kept } = await this.#parts.embed(batch)
    kept.release()
    this.#init.protect('the pieces of a batch', pieces.data)
    const state = await this.#layer.solve(activations)
    const heads = await this.#parts.passHeads(state, batch)
    return {
      ...heads,
      shared: async () => {
        const stateGrad = sumTensors(heads.featureGrads.map(({ tensor }) => tensor))
        const { injection, parameters } = await this.#layer.pullBack(activations, state, stateGrad)
        const embedded = await this.#parts.embed(batch)
        return new Map([[this.#parts.embedName, await this.#parts.embedGradient(embedded, injection)], [CELL, parameters]])
      }
    }
  }

  readonly #own = async (rows: Rows): Promise<Predictions> => {
    const chunks: Predictions[] = []
    const size = elements(this.#init.data.input.shape)
    for (let start = 0; start < rows.count; start += EVALUATION_ROWS) {
      const { activations } = await this.#parts.embedRows(rows, size, start, Math.min(EVALUATION_ROWS, rows.count - start))
      chunks.push(await this.#parts.predict(await this.#layer.solve(activations)))
    }
    return joinRows(chunks)
  }

  /** With what all agreed on in the shared units, which have their own values again afterwards. */
  readonly #agreed = async (rows: Rows): Promise<Predictions> => {
    const held = this.#shared.map(unit => [unit, unit.parameters.slice()] as const)
    for (const unit of this.#shared) unit.set(this.#bar.get(unit.name) as Float32Array)
    try {
      return await this.#own(rows)
    } finally {
      for (const [unit, own] of held) unit.set(own)
    }
  }
}
