/**
 * What a client measures while tasks train merged: every so many gradient steps, on the batch of the step to come, what a
 * step on one of its tasks would do to the others (src/affinity/look-ahead.ts). Cells are those of the charter's tasks; of
 * tasks that the site does not have it says nothing. Numbers only: no rows, no weights.
 */
import { AffinityTally } from '../affinity/tally.ts'
import { localStepsOf } from './spec.ts'
import { matrixOf } from '../affinity/matrix.ts'
import { vector } from './saved-state.ts'
import type { AffinitySums } from '../affinity/tally.ts'
import type { Batch } from './batches.ts'
import type { Charter } from '../federation/charter.ts'
import type { NamedTensor } from '../tensor/tensor.ts'
import type { SavedState } from './saved-state.ts'
import type { TaskSpec } from '../tasks/task.ts'
import type { WholeModel } from './whole-model.ts'

const [SUMS, COUNTS] = ['affinity.sums', 'affinity.counts']

export class AffinityProbe {
  readonly #size: number
  /** Place of each of the charter's tasks among this site's, -1 where it has none. */
  readonly #places: readonly number[]
  readonly #every: number
  readonly #until: number
  readonly #weightDecay: number
  readonly #tally: AffinityTally

  private constructor ({ every, affinityRounds }: NonNullable<Charter['grouping']>, { tasks, training }: Charter, own: readonly TaskSpec[]) {
    this.#size = tasks.length
    this.#places = tasks.map(({ id }) => own.findIndex(task => task.id === id))
    this.#every = every
    // One task of its own has nothing to be compared with.
    this.#until = own.length < 2 ? 0 : affinityRounds * training.stepsPerRound * localStepsOf(training)
    this.#weightDecay = training.weightDecay
    // What is saved must be what is summed on, to the bit.
    this.#tally = new AffinityTally(this.#size, new Float32Array(this.#size ** 2))
  }

  /** Undefined where the charter does not ask for measurements. */
  static of (charter: Charter, own: readonly TaskSpec[]): AffinityProbe | undefined {
    return charter.grouping === undefined ? undefined : new AffinityProbe(charter.grouping, charter, own)
  }

  /** Before a gradient step, on its batch. Leaves model and optimiser as they are, bit for bit. */
  async measure (model: WholeModel, batch: Batch, step: number): Promise<void> {
    if (step >= this.#until || step % this.#every !== 0) return
    const found = await model.lookAhead(batch, { step, weightDecay: this.#weightDecay })
    this.#tally.add(matrixOf(this.#size, (source, target) => found[this.#places[source] as number]?.[this.#places[target] as number] ?? Number.NaN))
  }

  sums (): AffinitySums { return this.#tally.save() }

  save (): NamedTensor[] {
    const { sums, counts } = this.#tally.save()
    return [vector(SUMS, sums), vector(COUNTS, Float32Array.from(counts))]
  }

  /** @throws {InvalidParametersError} the checkpoint is of other tasks */
  read (saved: SavedState): AffinitySums {
    const cells = this.#size ** 2
    return { sums: saved.need(SUMS, cells), counts: Uint32Array.from(saved.need(COUNTS, cells)) }
  }

  load (sums: AffinitySums): void { this.#tally.load(sums) }
}
