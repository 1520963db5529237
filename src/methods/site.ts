/** A site's half of the charter's method, with what it takes of a client: its rows, its losses, and what must not leave. */
import { ClientLayout } from '../training/client-layout.ts'
import { drawBatch } from '../training/batches.ts'
import { deriveSeed } from '../random.ts'
import { exchangeOf, methodOf } from './index.ts'
import { expectTold } from './told.ts'
import { vector } from '../training/saved-state.ts'
import type { Backend } from '../backend/backend.ts'
import type { Charter } from '../federation/charter.ts'
import type { ClientData, Rows } from '../data/dataset.ts'
import type { ContentGuard } from '../backbone/guard.ts'
import type { NamedTensor } from '../tensor/tensor.ts'
import type { ExchangeSpec, Predictions, Seat, SiteMethod } from './method.ts'
import type { Weights } from '../training/unit.ts'

export interface MethodModelInit {
  readonly charter: Charter
  readonly data: ClientData
  readonly seat: Seat
  readonly guard: ContentGuard
  readonly start: readonly NamedTensor[]
}

/** Where a checkpoint says which seat the site had: rank, and of how many. */
export const SEAT = 'seat'

/** Its tasks and targets are the charter's, its units and predictions the method's. */
export class MethodModel extends ClientLayout {
  readonly method: SiteMethod
  readonly #seat: Seat
  readonly #down: Required<ExchangeSpec>['down']

  /** @throws {InvalidParametersError} the charter names no method */
  constructor (backend: Backend, { charter, data, seat, guard, start }: MethodModelInit) {
    super(data, charter.model, charter.training.smoothing)
    const { method, options } = methodOf(charter)
    this.#seat = seat
    this.#down = exchangeOf(charter).down
    const seed = deriveSeed(charter.seed, 'rows', data.id)
    const { batch: size, shift } = charter.training
    this.method = method.site({
      backend,
      charter,
      data,
      seat,
      start,
      protect: (what, values) => { guard.protect(what, values) },
      batch: step => {
        const batch = drawBatch(data.train, data.input, { size, seed, step, shift })
        guard.protect('the raw rows of a batch', batch.x)
        for (const [task, y] of Object.entries(batch.y)) guard.protect(`the labels of ${task}`, y)
        return batch
      }
    }, options)
  }

  get units (): readonly Weights[] { return this.method.units }

  /** What the host tells before `step`. @throws {ProtocolError} names or sizes that the method does not tell */
  async receive (step: number, told: readonly NamedTensor[]): Promise<void> {
    expectTold(this.#down, told)
    await this.method.receive(step, told)
  }

  /** What a checkpoint holds beside the units: the method's, and the seat, by which widths and ranks of a site may differ. */
  save (): NamedTensor[] {
    const { rank, of } = this.#seat
    return [...this.method.save?.() ?? [], vector(SEAT, Float32Array.of(rank, of))]
  }

  async predict (rows: Rows): Promise<Predictions> { return await this.method.predict(rows) }

  dispose (): void { this.method.dispose() }
}
