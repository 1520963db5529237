/** Steps of a split client that are under way: what each keeps until the host's answers have come. */
import { ProtocolError } from '../errors.ts'
import type { Batch } from './batches.ts'
import type { Embedded } from './client-parts.ts'

export interface OpenStep {
  readonly step: number
  readonly batch: Batch
  readonly embedded: Embedded
  readonly activationMask: Float32Array | undefined
  headGradients: ReadonlyMap<string, Float32Array>
}

export class OpenSteps {
  readonly #open = new Map<number, OpenStep>()

  add (open: OpenStep): void { this.#open.set(open.step, open) }

  /** @throws {ProtocolError} it is not open */
  expect (step: number): OpenStep {
    const open = this.#open.get(step)
    if (open === undefined) throw new ProtocolError(`step ${step} is not open here (open: ${[...this.#open.keys()].join(', ') || 'none'})`)
    return open
  }

  /** Its embedder pass has been used up. */
  close (step: number): void { this.#open.delete(step) }

  /** Before `step` opens: what is left of steps that are not in flight beside it, and of an earlier try at it. */
  abandonAllBut (inFlight: number, step: number): void {
    for (const open of [...this.#open.keys()]) if (open >= step || open <= step - inFlight) this.#abandon(open)
  }

  dispose (): void { for (const step of [...this.#open.keys()]) this.#abandon(step) }

  #abandon (step: number): void {
    this.#open.get(step)?.embedded.kept.release()
    this.#open.delete(step)
  }
}
