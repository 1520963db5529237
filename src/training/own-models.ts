/**
 * What a site trains alone beside the federated model: a deep model of the charter's shape, a second one of another seed
 * where a control is asked for, and the simple model. All are candidates of its committee, and none leaves it.
 */
import { LocalTrainer } from './local-trainer.ts'
import { ProtocolError } from '../errors.ts'
import { deriveSeed } from '../random.ts'
import { fitSimple } from './simple/index.ts'
import { localStepsOf } from './spec.ts'
import { splitsOf } from './committee.ts'
import type { Backend } from '../backend/backend.ts'
import type { Charter } from '../federation/charter.ts'
import type { ClientData, Rows } from '../data/dataset.ts'
import type { Committee } from './committee.ts'
import type { ContentGuard } from '../backbone/guard.ts'
import type { EvaluationSplit } from './client-trainer.ts'
import type { NamedTensor } from '../tensor/tensor.ts'
import type { Weights } from './unit.ts'

export interface OwnModelsInit {
  /** A second deep model from another seed, for the two-locals control. */
  readonly control: boolean
  /** false: none at all. Default true. */
  readonly baseline?: boolean
  /** Where embedders and trunks start in place of the seeds' values. Default: nowhere else. */
  readonly start?: readonly NamedTensor[]
  /** The simple model a second time, on training and hold-out rows. Default true. */
  readonly refit?: boolean
}

/** Of the deep ones, in the order in which they are saved. */
const NAMES = ['local', 'control'] as const

export class OwnModels {
  readonly #data: ClientData
  readonly #linear: boolean
  readonly #steps: number
  readonly #baseline: boolean
  readonly #refit: boolean
  readonly #deep: readonly LocalTrainer[]

  constructor (backend: Backend, { model, training, seed }: Charter, data: ClientData, { control, baseline = true, refit = true, start = [] }: OwnModelsInit) {
    this.#data = data
    this.#linear = model.kind === 'linear'
    this.#steps = localStepsOf(training)
    this.#baseline = baseline
    this.#refit = refit
    // Other start values and other batches than the federated model's: two models that err alike make a poor ensemble.
    const names = !baseline || this.#linear ? [] : control ? NAMES : NAMES.slice(0, 1)
    this.#deep = names.map(name => new LocalTrainer(backend, data, model, training, deriveSeed(seed, name), start))
  }

  /** Weights of the deep ones, with what they are saved under. */
  get units (): ReadonlyArray<readonly [string, Weights]> {
    return this.#deep.flatMap((model, i) => model.units.map(unit => [`local${i}/`, unit] as const))
  }

  /** As many gradient steps of each deep one as one step of the clock means. */
  async step (step: number): Promise<void> {
    for (const model of this.#deep) for (let i = 0; i < this.#steps; i++) await model.step(step * this.#steps + i)
  }

  /** Puts the predictions of all before the committee. @returns the line on the simple model; undefined without a baseline */
  async putInto (committee: Committee, guard: ContentGuard): Promise<string | undefined> {
    for (const [i, model] of this.#deep.entries()) {
      for (const split of splitsOf(this.#data)) committee.put(NAMES[i] as string, split, await model.predict(rowsOf(this.#data, split)))
    }
    return this.#baseline ? this.#putSimple(committee, guard) : undefined
  }

  dispose (): void { for (const model of this.#deep) model.dispose() }

  /**
   * Fits the simple model. A function of the rows alone: a run that was interrupted finds the same model, and a checkpoint
   * need not hold it.
   */
  #putSimple (committee: Committee, guard: ContentGuard): string {
    const { model, line } = fitSimple(this.#data)
    // Where the charter's own model is linear, this is what the site would train alone.
    const names = this.#linear ? ['simple', 'local'] : ['simple']
    const models = model === undefined ? [] : [...names.map(name => [name, model] as const), ...this.#refit ? [['simpleRefit', model.refit()] as const] : []]
    for (const [name, { weights, predict }] of models) {
      for (const [task, numbers] of weights) guard.protect(`the ${name} model of ${task}`, numbers)
      for (const split of splitsOf(this.#data)) committee.put(name, split, predict(rowsOf(this.#data, split)))
    }
    return line
  }
}

/** @throws {ProtocolError} only benches have rows of all labels */
export function rowsOf (data: ClientData, split: EvaluationSplit): Rows {
  const rows = data[split]
  if (rows === undefined) throw new ProtocolError(`there are no ${split} rows here`)
  return rows
}
