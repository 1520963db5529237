/**
 * Who owes an answer. A client frame of a credit kind uses one credit; the host frame that answers it gives it back:
 *
 *     forward (step)       <- features (step), a step beyond it, or pause/refused (step or later)
 *     grads (step)         <- emb-grad (step), a step beyond it, or pause/refused (step or later)
 *     eval-forward (seq)   <- eval-features (seq), or round
 *
 * share, eval-result and leave use none. Both ends keep the same account: the client to wait, the host to refuse.
 */
import { CREDIT_KINDS } from './constants.ts'
import type { Frame } from '../../src/backbone/frames.ts'

const USES: ReadonlySet<string> = new Set(CREDIT_KINDS)

export class Credits {
  readonly #open: Array<{ kind: string, step: number }> = []

  get used (): number { return this.#open.length }

  static needed (frame: Frame): boolean {
    return USES.has(frame.kind)
  }

  use (frame: Frame): void {
    if (Credits.needed(frame)) this.#open.push({ kind: frame.kind, step: frame.step })
  }

  answer ({ kind, step }: Frame): void {
    switch (kind) {
      case 'features': this.#one('forward', step); break
      case 'emb-grad': this.#one('grads', step); break
      case 'eval-features': this.#one('eval-forward', step); break
      case 'round': this.#all(open => open.kind === 'eval-forward'); break
      case 'step': this.#all(open => open.kind !== 'eval-forward' && open.step < step); break
      case 'pause':
      case 'refused': this.#all(open => open.kind !== 'eval-forward' && open.step <= step); break
    }
  }

  #one (kind: string, step: number): void {
    const index = this.#open.findIndex(open => open.kind === kind && open.step === step)
    if (index >= 0) this.#open.splice(index, 1)
  }

  #all (answered: (open: { kind: string, step: number }) => boolean): void {
    for (let i = this.#open.length - 1; i >= 0; i--) {
      const open = this.#open[i]
      if (open != null && answered(open)) this.#open.splice(i, 1)
    }
  }
}
