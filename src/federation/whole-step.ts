/**
 * The host's half of a step where clients hold whole models: no forward, no gradient, but contributions that become one
 * mean, and what each client is told of it. Who took part in a step holds the values that the step began with, so the change is
 * enough, in the charter's codec and rounded as the wire rounds it: host and clients keep the same bits. Everybody else
 * (newcomers, late ones, and all after hosts have merged) gets the values themselves, exactly. Where the charter asks for
 * attention there is no mean: everybody gets an anchor of its own, always as its change from the start values. Where it names
 * a method, everybody gets what that tells it, exactly.
 */
import { ProtocolError } from '../errors.ts'
import { unitsOf } from './session.ts'
import type { Charter } from './charter.ts'
import type { Frame } from '../backbone/frames.ts'
import type { HostTrainer, StepReport } from '../training/host-trainer.ts'
import type { NamedTensor } from '../tensor/tensor.ts'
import type { Remote } from '../compute/remote.ts'
import type { Session } from './session.ts'

export class WholeStep {
  readonly #trainer: Remote<HostTrainer>
  readonly #charter: Charter
  /** What the last step changed; undefined where more than that has changed since. */
  #change: readonly NamedTensor[] | undefined
  /** Nothing has been learnt yet: clients know the start values. */
  #untouched = true

  constructor (trainer: Remote<HostTrainer>, charter: Charter) {
    this.#trainer = trainer
    this.#charter = charter
  }

  /** @throws {ProtocolError} changes that the charter does not share, or that are not finite */
  async take ({ client, request }: Session, frame: Frame): Promise<void> {
    await this.#trainer.contribute(client, frame.step, request.samples, frame.tensors)
  }

  async apply (step: number, contributors: readonly string[]): Promise<StepReport> {
    const { report, change } = await this.#trainer.applyMean(step, contributors)
    this.#change = change
    this.#untouched = false
    return report
  }

  get #told (): boolean { return this.#charter.training.attention !== undefined || this.#charter.method !== undefined }

  /** The state came from elsewhere: a checkpoint, or a merge with other hosts. */
  replaced (): void {
    this.#change = undefined
    this.#untouched = false
  }

  /** For a client that contributed to the step before `step`. */
  async next (session: Session, step: number): Promise<Frame> {
    if (this.#told || this.#change === undefined) return await this.values(session, step)
    return { kind: 'step', step, tensors: unitsOf(session, this.#change), code: 'change', codec: this.#charter.cutCodec }
  }

  /** For a client that does not hold the values of the step before. */
  async values (session: Session, step: number): Promise<Frame> {
    if (this.#charter.method !== undefined) return { kind: 'step', step, tensors: this.#untouched ? [] : await this.#trainer.told(session.client, step), code: 'told', codec: 'f32' }
    if (this.#told) return { kind: 'step', step, tensors: unitsOf(session, await this.#trainer.told(session.client, step)), code: 'change', codec: this.#charter.cutCodec }
    const units = this.#untouched ? [] : await this.#trainer.clientUnits()
    return { kind: 'step', step, tensors: unitsOf(session, units), codec: 'f32' }
  }
}

/** A client of whole models sends contributions and verdicts. @throws {ProtocolError} it sent anything else */
export function expectWhole ({ kind }: Frame): void {
  if (kind !== 'share' && kind !== 'eval-result') throw new ProtocolError(`a client that holds the whole model does not send ${kind} frames`)
}
