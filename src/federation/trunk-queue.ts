/**
 * The way to a host's trunk for its clients' forwards and gradients: while one pass computes, what arrives is gathered, and
 * what fits together goes through the trunk in one pass. A trunk that is free begins at once with what is there.
 *
 * Gradients of clients that shared a forward share the backward too. A missing one is waited for as long as that backward
 * would take, and no longer: then it costs at most one pass more. A client that was missing once goes alone afterwards,
 * until it is in time again.
 */
import { MAX_SHARES } from '../training/memory.ts'
import { ProtocolError } from '../errors.ts'
import type { BackwardShare, ForwardShare } from '../training/open-passes.ts'
import type { HostTrainer } from '../training/host-trainer.ts'
import type { Remote } from '../compute/remote.ts'
import type { TensorData } from '../tensor/tensor.ts'

interface Waiting<T> {
  readonly share: T
  readonly resolve: (tensor: TensorData) => void
  readonly reject: (error: Error) => void
}

/** Clients that shared a forward and owe gradients. */
interface Group {
  readonly step: number
  readonly missing: Set<string>
  readonly arrived: Array<Waiting<BackwardShare>>
  /** How long its forward took, ms. */
  readonly forwardMs: number
  patience: NodeJS.Timeout | undefined
  impatient: boolean
}

/** A backward pass takes about twice as long as a forward one. */
const BACKWARD_PER_FORWARD = 2

export class TrunkQueue {
  readonly #trainer: Pick<Remote<HostTrainer>, 'forward' | 'backward'>
  readonly #mayShare: (shape: readonly number[]) => boolean
  readonly #forwards: Array<Waiting<ForwardShare>> = []
  readonly #groups = new Set<Group>()
  /** Clients that let others wait in vain. */
  readonly #stragglers = new Set<string>()
  #busy = false

  /** @param mayShare - whether clients with activations of this shape may go through the trunk together */
  constructor (trainer: Pick<Remote<HostTrainer>, 'forward' | 'backward'>, mayShare: (shape: readonly number[]) => boolean) {
    this.#trainer = trainer
    this.#mayShare = mayShare
  }

  /** @returns features, [B, N, D] */
  async forward (share: ForwardShare): Promise<TensorData> {
    return await new Promise((resolve, reject) => {
      this.#forwards.push({ share, resolve, reject })
      this.#pump()
    })
  }

  /**
   * @returns dL/dactivations, [B, N, D]
   * @throws {ProtocolError} ERR_LATE: the step has closed; or the gradients are not what this host takes
   */
  async backward (share: BackwardShare): Promise<TensorData> {
    return await new Promise((resolve, reject) => {
      const { client, step } = share
      const group = [...this.#groups].find(group => group.step === step && group.missing.has(client))
      if (group === undefined) return reject(new ProtocolError(`${client} has no open step ${step}`, { code: 'ERR_LATE' }))
      group.missing.delete(client)
      group.arrived.push({ share, resolve, reject })
      if (group.missing.size === 0 && !group.impatient) this.#stragglers.delete(client)
      if (group.missing.size > 0) {
        group.patience ??= setTimeout(() => {
          group.impatient = true
          for (const late of group.missing) this.#stragglers.add(late)
          this.#pump()
        }, BACKWARD_PER_FORWARD * group.forwardMs)
      }
      this.#pump()
    })
  }

  /** The client left: nobody waits for its gradients any more. */
  drop (client: string): void {
    for (const group of this.#groups) group.missing.delete(client)
    this.#stragglers.delete(client)
    this.#pump()
  }

  /** The step has closed: gradients that have not come are too late. */
  close (step: number): void {
    for (const group of this.#groups) {
      if (group.step > step) continue
      group.missing.clear()
      if (group.arrived.length === 0) this.#forget(group)
    }
  }

  #pump (): void {
    if (this.#busy) return
    const run = this.#next()
    if (run === undefined) return
    this.#busy = true
    void run().finally(() => {
      this.#busy = false
      this.#pump()
    })
  }

  /** The earliest step first. Within it forwards come first, since their clients have nothing to do meanwhile. */
  #next (): (() => Promise<void>) | undefined {
    for (const group of this.#groups) if (group.missing.size === 0 && group.arrived.length === 0) this.#forget(group)
    const ready = [...this.#groups].filter(({ missing, arrived, impatient }) => arrived.length > 0 && (missing.size === 0 || impatient))
    const group = ready.sort((a, b) => a.step - b.step)[0]
    const first = this.#forwards.toSorted((a, b) => a.share.step - b.share.step)[0]
    if (first !== undefined && (group === undefined || first.share.step <= group.step)) return async () => { await this.#runForward(first) }
    return group === undefined ? undefined : async () => { await this.#runBackward(group) }
  }

  async #runForward (first: Waiting<ForwardShare>): Promise<void> {
    const fits = ({ share }: Waiting<ForwardShare>): boolean => share.step === first.share.step &&
      share.activations.shape.join() === first.share.activations.shape.join() && !this.#stragglers.has(share.client)
    const alone = this.#stragglers.has(first.share.client) || !this.#mayShare(first.share.activations.shape)
    const together = alone ? [first] : this.#forwards.filter(fits).slice(0, MAX_SHARES)
    for (const waiting of together) this.#forwards.splice(this.#forwards.indexOf(waiting), 1)
    const startedAt = performance.now()
    try {
      const features = await this.#trainer.forward(together.map(({ share }) => share))
      // Sent again after a new attachment: its earlier pass owes it nothing any more.
      for (const group of this.#groups) if (group.step === first.share.step) for (const { share } of together) group.missing.delete(share.client)
      this.#groups.add({
        step: first.share.step,
        missing: new Set(together.map(({ share }) => share.client)),
        arrived: [],
        forwardMs: performance.now() - startedAt,
        patience: undefined,
        impatient: false
      })
      together.forEach(({ resolve }, i) => { resolve(features[i] as TensorData) })
    } catch (error) {
      for (const { reject } of together) reject(error as Error)
    }
  }

  async #runBackward (group: Group): Promise<void> {
    const together = group.arrived.splice(0)
    clearTimeout(group.patience)
    if (group.missing.size === 0) this.#forget(group)
    try {
      const results = await this.#trainer.backward(together.map(({ share }) => share))
      together.forEach(({ resolve, reject }, i) => {
        const result = results[i]
        if (result !== undefined && 'tensor' in result) resolve(result.tensor)
        else reject(new ProtocolError(result?.message ?? 'no answer from the trainer', { code: result?.code ?? 'ERR_INTERNAL' }))
      })
    } catch (error) {
      for (const { reject } of together) reject(error as Error)
    }
  }

  #forget (group: Group): void {
    clearTimeout(group.patience)
    this.#groups.delete(group)
  }
}
