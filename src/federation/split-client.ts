/**
 * A split client's side of training: drives its trainer and one host's frame channel through the steps of a charter, keeps
 * the local baseline training in the idle half of every exchange, and answers the host's questions about candidates.
 * Survives its host: `run` throws when the channel dies, and may be called again with another host's channel.
 */
import { TypedEventEmitter } from 'main-event'
import { DeadlineError, ProtocolError } from '../errors.ts'
import { inFlight, totalSteps } from '../training/spec.ts'
import type { Charter } from './charter.ts'
import type { ClientReport } from '../training/committee.ts'
import type { ClientTrainer, EvaluationSplit } from '../training/client-trainer.ts'
import type { Frame, FrameChannel, FrameKind, RoundReport, TaskLoss } from '../backbone/frames.ts'
import type { NamedTensor, TensorData } from '../tensor/tensor.ts'
import type { Remote } from '../compute/remote.ts'

export interface SplitClientInit {
  readonly charter: Charter
  /** Longest silence of a host before it counts as gone, ms; hosts send a sign of life every 3 s. */
  readonly silenceMs?: number
  readonly holdoutRows: number
  readonly testRows: number
  /** Rows of all sites' labels, where a bench has some. Default 0. */
  readonly allRows?: number
  /** Called when the host's clock runs, before this client's first step there: the place to load what computing takes. */
  readonly onBegin?: () => Promise<void>
  /** Called between two steps at every round's end, before the next step begins: the place to save. */
  readonly onBoundary?: (at: { step: number, localSteps: number }) => Promise<void>
}

export interface SplitClientEvents {
  'step:done': CustomEvent<{ step: number, losses: readonly TaskLoss[] }>
  'round:closed': CustomEvent<RoundReport>
  'host:waiting': CustomEvent<{ reason: string }>
  'step:skipped': CustomEvent<{ from: number, to: number, reason: string }>
}

const SILENCE_MS = 10_000

export class SplitClient extends TypedEventEmitter<SplitClientEvents> {
  readonly #trainer: Remote<ClientTrainer>
  readonly #init: SplitClientInit
  #step = 0
  /** The step to send next; with steps in flight it runs ahead of `#step`. */
  #next = 0
  /** The step whose features to answer next. */
  #answer = 0
  /** Of steps whose features are answered. */
  readonly #losses = new Map<number, readonly TaskLoss[]>()
  /** Steps that the local baseline has taken. */
  #localSteps = 0

  constructor (trainer: Remote<ClientTrainer>, init: SplitClientInit) {
    super()
    this.#trainer = trainer
    this.#init = init
  }

  get step (): number { return this.#step }
  get localSteps (): number { return this.#localSteps }

  /** Goes on where a checkpoint ended. */
  resume (at: { step: number, localSteps: number }): void {
    this.#step = at.step
    this.#localSteps = at.localSteps
  }

  /**
   * Trains through one host until the charter's last step, then evaluates the federated model on hold-out and test rows.
   * @param start - the step that the host expects next
   * @throws {ProtocolError} the channel died or the host broke the protocol; progress is kept, call again elsewhere
   * @throws {DeadlineError} the host fell silent
   */
  async run (channel: FrameChannel, start: number, options: { signal?: AbortSignal } = {}): Promise<void> {
    const conversation: Conversation = new Conversation(channel, this.#init.silenceMs ?? SILENCE_MS, options.signal, {
      onEvaluate: async frame => await this.#judge(conversation, frame),
      onRound: report => this.safeDispatchEvent('round:closed', { detail: report }),
      onWaiting: reason => this.safeDispatchEvent('host:waiting', { detail: { reason } })
    })
    try {
      this.#step = this.#next = this.#answer = start
      const begin = await conversation.reply(start)
      await this.#init.onBegin?.()
      await this.#goTo(begin, '')
      const total = totalSteps(this.#init.charter.training)
      while (this.#step < total) {
        await this.#takeStep(conversation)
        if (this.#step % this.#init.charter.training.stepsPerRound === 0) await this.#init.onBoundary?.({ step: this.#step, localSteps: this.#localSteps })
      }
      while (this.#localSteps < total) {
        options.signal?.throwIfAborted()
        await this.#trainer.localStep(this.#localSteps++)
      }
      if (this.#init.charter.method !== undefined) await this.#trainer.settle()
      for (const split of this.#splits) {
        if (this.#whole) await this.#trainer.evaluate('federated', split)
        else await this.#evaluate(conversation, 'final', 'federated', split)
      }
      await conversation.send({ kind: 'leave', step: this.#step, tensors: [], code: 'done', reason: 'training is complete' })
    } finally {
      await conversation.end()
    }
  }

  async report (): Promise<ClientReport> { return await this.#trainer.report() }

  get #whole (): boolean { return this.#init.charter.model.trunk === 'client' }

  get #splits (): readonly EvaluationSplit[] { return (this.#init.allRows ?? 0) > 0 ? ['holdout', 'test', 'all'] : ['holdout', 'test'] }

  async #takeStep (host: Conversation): Promise<void> {
    const { training } = this.#init.charter
    const step = this.#step
    if (this.#whole) return await this.#contribute(host, step)
    for (; this.#next < Math.min(step + inFlight(training), totalSteps(training)); this.#next++) {
      const activations = await this.#trainer.forward(this.#next)
      await host.send({ kind: 'forward', step: this.#next, tensors: [{ name: 'activations', tensor: activations }] })
    }
    if (this.#localSteps <= step) await this.#trainer.localStep(this.#localSteps++)
    let back: Frame | undefined
    while (back === undefined) {
      const frame = await host.reply(step, this.#wanted(step))
      if (frame.kind === 'step') return await this.#goTo(frame, this.#answer > step ? 'the gradient came too late' : 'the step was closed without this client')
      if (frame.kind === 'emb-grad') back = frame
      else await this.#answerFeatures(host, frame)
    }
    const losses = this.#losses.get(step) as readonly TaskLoss[]
    const shared = await this.#trainer.finish(step, only(back))
    if (shared.length > 0) {
      await host.send({ kind: 'share', step, tensors: shared })
      await this.#goTo(await host.reply(step), 'the shared gradient came too late')
    } else {
      this.#step++
      this.#losses.delete(step)
    }
    this.safeDispatchEvent('step:done', { detail: { step, losses } })
  }

  /** Features of steps ahead are answered when they come: heads learn from nothing that this step still waits for. */
  #wanted (step: number): readonly Wanted[] {
    const features: Wanted[] = this.#answer < this.#next ? [{ kind: 'features', step: this.#answer }] : []
    return this.#answer > step ? [{ kind: 'emb-grad', step }, ...features] : features
  }

  async #answerFeatures (host: Conversation, features: Frame): Promise<void> {
    const { step } = features
    const { featureGrads, losses } = await this.#trainer.backward(step, only(features))
    await host.send({ kind: 'grads', step, tensors: featureGrads, losses })
    this.#losses.set(step, losses)
    this.#answer = step + 1
  }

  /** Trains the whole model alone, sends what that changed, and hears what came of all contributions. */
  async #contribute (host: Conversation, step: number): Promise<void> {
    const { changes, losses } = await this.#trainer.contribute(step)
    await host.send({ kind: 'share', step, tensors: changes, losses })
    if (this.#localSteps <= step) await this.#trainer.localStep(this.#localSteps++)
    await this.#goTo(await host.reply(step), 'the contribution came too late')
    this.safeDispatchEvent('step:done', { detail: { step, losses } })
  }

  async #goTo (frame: Frame, reason: string): Promise<void> {
    if (frame.code === 'late') this.safeDispatchEvent('step:skipped', { detail: { from: this.#step, to: frame.step, reason } })
    if (this.#init.charter.method !== undefined) await this.#trainer.receive(frame.step, frame.tensors)
    else if (this.#init.charter.training.attention !== undefined) await this.#trainer.aim(frame.tensors)
    else if (frame.code === 'change') await this.#trainer.advance(frame.tensors)
    else if (this.#whole && frame.step === 0 && frame.tensors.length === 0) await this.#trainer.restart()
    else await this.#trainer.adopt(frame.tensors)
    this.#step = frame.step
    this.#next = Math.max(this.#next, frame.step)
    this.#answer = Math.max(this.#answer, frame.step)
    for (const step of this.#losses.keys()) if (step < frame.step) this.#losses.delete(step)
  }

  /** Answers an EVAL: predictions under the candidate on the private hold-out, then one paired verdict. */
  async #judge (host: Conversation, frame: Frame): Promise<void> {
    const candidate = frame.candidate ?? ''
    if (this.#whole) await this.#trainer.evaluate(candidate, 'holdout', frame.tensors)
    else await this.#evaluate(host, candidate, candidate, 'holdout', frame.tensors)
    const score = await this.#trainer.score(candidate)
    await host.send({ kind: 'eval-result', step: frame.step, ...frame.round === undefined ? {} : { round: frame.round }, candidate, tensors: [], scores: [score] })
  }

  async #evaluate (host: Conversation, candidate: string, key: string, split: EvaluationSplit, units: readonly NamedTensor[] = []): Promise<void> {
    const { holdoutRows: holdout, testRows: test, allRows: all = 0 } = this.#init
    const rows = { holdout, test, all }[split]
    for (let start = 0; start < rows;) {
      const activations = await this.#trainer.evaluateForward(split, start, units)
      const features = await host.ask(candidate, activations)
      await this.#trainer.evaluateFeatures(key, split, start, features, units)
      start += features.shape[0] as number
    }
  }
}

interface Wanted { readonly kind: FrameKind, readonly step: number }

interface Handlers {
  readonly onEvaluate: (frame: Frame) => Promise<void>
  readonly onRound: (report: RoundReport) => void
  readonly onWaiting: (reason: string) => void
}

/** Sorts a host's frames into replies, evaluation answers and questions, and watches for silence. */
class Conversation {
  readonly #channel: FrameChannel
  readonly #handlers: Handlers
  readonly #replies: Frame[] = []
  readonly #answers = new Map<number, (features: TensorData) => void>()
  readonly #failed: Promise<never>
  #fail: (error: Error) => void = () => {}
  #wake: (() => void) | undefined
  #questions = 0
  #judging: Promise<void> = Promise.resolve()
  #watchdog: NodeJS.Timeout | undefined
  #ended = false

  constructor (channel: FrameChannel, silenceMs: number, signal: AbortSignal | undefined, handlers: Handlers) {
    this.#channel = channel
    this.#handlers = handlers
    this.#failed = new Promise<never>((_resolve, reject) => { this.#fail = reject })
    this.#failed.catch(() => undefined)
    signal?.addEventListener('abort', () => this.#fail(signal.reason as Error), { once: true })
    if (Number.isFinite(silenceMs)) {
      this.#watchdog = setTimeout(() => this.#fail(new DeadlineError(`host ${channel.peer} has been silent for ${silenceMs / 1000} s`)), silenceMs)
    }
    this.#pump().then(
      () => this.#fail(new ProtocolError(`host ${channel.peer} closed the channel`)),
      (error: Error) => this.#fail(error))
  }

  async send (frame: Frame): Promise<void> {
    await Promise.race([this.#channel.send(frame), this.#failed])
  }

  /**
   * The next reply that is wanted, or 'step' where the host moved on from `open`. Answers to steps given up are skipped, those
   * to other steps in flight wait for their turn.
   * @param open - the earliest step that is under way
   * @param wanted - one a step at most. Default: where the clock stands
   * @throws {ProtocolError} another answer to a step of which one is wanted
   */
  async reply (open: number, wanted: readonly Wanted[] = [{ kind: 'step', step: open }]): Promise<Frame> {
    for (;;) {
      const at = this.#replies.findIndex(frame => frame.kind === 'step' || frame.step < open || wanted.some(({ step }) => step === frame.step))
      const frame = at < 0 ? undefined : this.#replies.splice(at, 1)[0]
      if (frame === undefined) {
        await Promise.race([new Promise<void>(resolve => { this.#wake = resolve }), this.#failed])
      } else if (frame.kind === 'step') {
        if (frame.step > open || wanted.some(({ kind }) => kind === 'step')) return frame // else we have gone there already
      } else if (frame.step >= open) {
        const { kind } = wanted.find(({ step }) => step === frame.step) as Wanted
        if (kind === frame.kind) return frame
        throw new ProtocolError(`host ${this.#channel.peer} answered with ${frame.kind}, expected ${kind}`)
      }
    }
  }

  /** Features of evaluation rows under a candidate. */
  async ask (candidate: string, activations: TensorData): Promise<TensorData> {
    const question = this.#questions++
    const answered = new Promise<TensorData>(resolve => this.#answers.set(question, resolve))
    await this.send({ kind: 'eval-forward', step: question, candidate, tensors: [{ name: 'activations', tensor: activations }] })
    return await Promise.race([answered, this.#failed])
  }

  async end (): Promise<void> {
    this.#ended = true
    clearTimeout(this.#watchdog)
    await this.#judging.catch(() => undefined)
    await this.#channel.close()
  }

  async #pump (): Promise<void> {
    for await (const frame of this.#channel.frames) {
      if (this.#ended) return
      this.#watchdog?.refresh()
      switch (frame.kind) {
        case 'eval':
          this.#judging = this.#judging.then(async () => await this.#handlers.onEvaluate(frame))
          this.#judging.catch(error => this.#fail(error as Error))
          break
        case 'eval-features':
          this.#answers.get(frame.step)?.(only(frame))
          this.#answers.delete(frame.step)
          break
        case 'round':
          if (frame.report !== undefined) this.#handlers.onRound(frame.report)
          break
        case 'pause':
          if (frame.reason !== undefined && frame.reason !== '') this.#handlers.onWaiting(frame.reason)
          break
        case 'refused':
          throw new ProtocolError(frame.reason ?? 'the host refused', { code: frame.code ?? 'ERR_REFUSED' })
        default:
          this.#replies.push(frame)
          this.#wake?.()
      }
    }
  }
}

function only (frame: Frame): TensorData {
  const [first] = frame.tensors
  if (first === undefined || frame.tensors.length !== 1) throw new ProtocolError(`a ${frame.kind} frame carries one tensor, got ${frame.tensors.length}`)
  return first.tensor
}
