/**
 * A backbone host's side of training: the step clock and the round clock.
 *
 * Step clock: gathers the gradients of the clients that take part in the step, by all of them or by a deadline, and updates
 * the trunk once. A client that misses a step is named, and not waited for again until it is back at the current step.
 * Round clock: every R steps publishes the delta, gathers other hosts', decides with the help of the clients' private
 * hold-outs what to merge, and tells everybody. Nothing waits without a deadline, and every wait has a reason in `waiting`.
 */
import { TypedEventEmitter } from 'main-event'
import { Ballot } from './ballot.ts'
import { MAX_BATCH, refuse } from './admission.ts'
import { RoundLog } from './round-log.ts'
import { meet } from './meeting.ts'
import { ProtocolError } from '../errors.ts'
import { heartbeat } from './heartbeat.ts'
import { mayShare } from '../training/open-passes.ts'
import { Traffic } from './traffic.ts'
import { TrunkQueue } from './trunk-queue.ts'
import { WholeStep, expectWhole } from './whole-step.ts'
import { activationsOf, closeSessionStep, hasUnit, missStep, openSession, unitsOf, waitingFor } from './session.ts'
import { inFlight, totalSteps } from '../training/spec.ts'
import type { Admission, AttachRequest, CandidateScore, Frame, FrameChannel, RoundReport, TaskLoss } from '../backbone/frames.ts'
import type { Charter } from './charter.ts'
import type { ClosedRound } from './round-log.ts'
import type { HostTrainer } from '../training/host-trainer.ts'
import type { DeltaExchange } from './exchange.ts'
import type { Refusal } from './admission.ts'
import type { Remote } from '../compute/remote.ts'
import type { NamedTensor } from '../tensor/tensor.ts'
import type { Session } from './session.ts'

export interface BackboneHostComponents {
  readonly trainer: Remote<HostTrainer>
  readonly exchange: DeltaExchange
  /** Makes a closed round durable; nothing is announced as closed before this has returned. */
  readonly commit?: (round: ClosedRound) => Promise<void>
}

export interface BackboneHostInit {
  readonly id: string
  readonly charter: Charter
  /** Clients served at once. */
  readonly slots: number
  /** How often clients hear what is being waited for, ms; Infinity in the simulator. Default 3 000. */
  readonly heartbeatMs?: number
}

export interface BackboneHostEvents {
  'client:attached': CustomEvent<{ client: string, returning: boolean }>
  'client:detached': CustomEvent<{ client: string, reason: string }>
  'step:done': CustomEvent<{ step: number, contributors: readonly string[], losses: readonly TaskLoss[] }>
  'round:closed': CustomEvent<RoundReport>
  'host:finished': CustomEvent<{ step: number }>
}

const HEARTBEAT_MS = 3_000
/** Longest wait for other hosts before the first step, ms: processes that start together differ by seconds. */
const START_MS = 60_000
/** Frames a client may have unanswered: one step and one evaluation pass under way, and room for a reconnect. */
const CREDITS = 8

export class BackboneHost extends TypedEventEmitter<BackboneHostEvents> {
  readonly #trainer: Remote<HostTrainer>
  readonly #queue: TrunkQueue
  readonly #exchange: DeltaExchange
  readonly #commit: NonNullable<BackboneHostComponents['commit']>
  readonly #init: BackboneHostInit
  readonly #sessions = new Map<string, Session>()
  readonly #known = new Set<string>()
  readonly #log: RoundLog
  readonly #abort = new AbortController()
  readonly #traffic = new Traffic()
  /** Where clients hold whole models. */
  readonly #whole: WholeStep | undefined
  #step = 0
  /** Steps are taken only while open; closed before the quorum, during a round's end, and after the last step. */
  #open = false
  /** The last round is closed: there is nothing to wait for any more. */
  #done = false
  #started = false
  /** The clock runs: clients, who compute nothing before they hear 'step', are told so when they attach. */
  #begun = false
  #comeBack: AbortSignal | undefined
  #advancing: Promise<void> = Promise.resolve()
  #waiting = 'waiting: no client has attached yet'
  #deadline: NodeJS.Timeout | undefined
  #heartbeat: NodeJS.Timeout | undefined
  #ballot: Ballot | undefined
  readonly #end = Promise.withResolvers<void>()

  constructor (components: BackboneHostComponents, init: BackboneHostInit) {
    super()
    this.#trainer = components.trainer
    this.#queue = new TrunkQueue(components.trainer, shape => mayShare(init.charter.model.backbone, shape))
    this.#exchange = components.exchange
    this.#commit = components.commit ?? (async () => {})
    this.#init = init
    this.#log = new RoundLog(init.id)
    this.#whole = init.charter.model.trunk === 'client' ? new WholeStep(components.trainer, init.charter) : undefined
    this.#end.promise.catch(() => undefined) // whoever awaits `finished` hears of it
  }

  get step (): number { return this.#step }
  get round (): number { return Math.floor(this.#step / this.#training.stepsPerRound) }
  get attached (): number { return this.#sessions.size }
  /** Payload bytes of all attachments so far. */
  get bytes (): { readonly sent: number, readonly received: number } {
    const { up, down } = this.#traffic.total
    return { sent: down, received: up }
  }

  /** What this host waits for right now, in one line; empty while it trains. */
  get waiting (): string { return this.#waiting }
  /** Resolves after the last round is closed; rejects when this host cannot go on. */
  get finished (): Promise<void> { return this.#end.promise }

  /**
   * Goes on where a checkpoint ended; the trainer is loaded. Clients come back one by one, or are served elsewhere: they are
   * waited for as long as for a gradient. So where a training has `begun` under another charter: its values hold at step 0 too.
   */
  resume (step: number, { begun = false } = {}): void {
    this.#step = step
    if (step > 0 || begun) {
      this.#comeBack = AbortSignal.timeout(this.#init.charter.clock.stepDeadlineMs)
      this.#comeBack.addEventListener('abort', () => { this.#tryStart() })
      this.#whole?.replaced()
    }
    this.#done = step >= totalSteps(this.#training)
    if (this.#done) this.#end.resolve()
  }

  /** Decides on an attach request; never throws for what a stranger may send. */
  admit (request: AttachRequest): Admission | Refusal {
    const refusal = refuse(request, this.#init.charter, { slots: this.#init.slots, attached: [...this.#sessions.keys()] })
    return refusal ?? { session: `${request.client}#${this.#step}`, step: this.#step, version: this.round, credits: CREDITS, maxBatch: MAX_BATCH }
  }

  /** Begins: opens the step clock as soon as quorum and peers are there. */
  start (): void {
    this.#heartbeat = heartbeat(this.#init.heartbeatMs ?? HEARTBEAT_MS, () => ({ step: this.#step, reason: this.#waiting }), beat => {
      for (const session of this.#sessions.values()) this.#tell(session, { kind: 'pause', tensors: [], ...beat })
    })
    this.#tryStart()
  }

  /** Closes all attachments. A step under way is completed first, so that `step` and the trainer's state belong together. */
  async stop (reason = 'the host is shutting down'): Promise<void> {
    this.#abort.abort(new ProtocolError(reason))
    this.#open = false
    clearTimeout(this.#deadline)
    clearInterval(this.#heartbeat)
    this.#ballot?.close()
    await this.#advancing
    await Promise.all([...this.#sessions.values()].map(async session => await session.channel.close(new ProtocolError(reason))))
  }

  /** Serves one attached client until its channel ends. Resolves with the reason. */
  async serve (request: AttachRequest, channel: FrameChannel): Promise<string> {
    const { client } = request
    await this.#sessions.get(client)?.channel.close(new ProtocolError('replaced by a new attachment of the same client'))
    const session = openSession(this.#init.charter, request, channel)
    this.#sessions.set(client, session)
    this.#traffic.add(channel)
    this.safeDispatchEvent('client:attached', { detail: { client, returning: this.#known.has(client) } })
    this.#known.add(client)
    let reason = 'the connection closed'
    try {
      if (this.#begun) {
        await this.#advancing
        await channel.send(await this.#values(session))
      }
      this.#tryStart()
      for await (const frame of channel.frames) {
        if (frame.kind === 'leave') {
          reason = frame.reason ?? 'left'
          break
        }
        await this.#handle(session, frame)
      }
    } catch (error) {
      reason = (error as Error).message
    }
    await this.#detach(session, reason)
    return reason
  }

  get #training () { return this.#init.charter.training }
  /** Steps that a client may have under way at once. */
  get #inFlight (): number { return inFlight(this.#training) }

  async #handle (session: Session, frame: Frame): Promise<void> {
    if (this.#whole !== undefined) expectWhole(frame)
    switch (frame.kind) {
      // Answered aside: the session's next frame may belong to another step, and fit into the pass that comes next.
      case 'forward': return this.#aside(session, this.#forward(session, frame))
      case 'grads': return this.#aside(session, this.#backward(session, frame))
      case 'share': {
        // Not awaited: while a step closes, this session's verdicts must get through.
        if (this.#whole !== undefined) return this.#aside(session, this.#contribute(this.#whole, session, frame))
        if (!this.#current(session, frame)) return
        await this.#trainer.share(session.client, frame.step, frame.tensors)
        return this.#completed(session, frame.step)
      }
      case 'eval-forward': return this.#aside(session, this.#answer(session, frame)) // the live trunk may still be under way to its last step
      case 'eval-result': {
        if (frame.round === this.#ballot?.round) this.#ballot?.accept(session.client, frame.candidate ?? '', frame.scores ?? [])
        return
      }
      default: throw new ProtocolError(`a client does not send ${frame.kind} frames`)
    }
  }

  #aside (session: Session, work: Promise<void>): void {
    work.catch((error: Error) => { void session.channel.close(error) })
  }

  async #contribute (whole: WholeStep, session: Session, frame: Frame): Promise<void> {
    const now = (): boolean => this.#open && frame.step === this.#step
    if (now()) {
      session.expected = true
      session.losses = frame.losses ?? []
      await whole.take(session, frame)
      if (now()) return this.#completed(session, frame.step)
    }
    // While a step closes, the values that it will leave are not known yet.
    if (frame.step > this.#step || !(this.#open || this.#done)) session.early.set(frame.step, frame)
    else this.#late(session)
  }

  async #forward (session: Session, frame: Frame): Promise<void> {
    const { client, early } = session
    if (frame.step < this.#step) return this.#late(session)
    if (!this.#begun || frame.step >= this.#step + this.#inFlight || (frame.step === this.#step && !this.#open)) {
      if (early.size > this.#inFlight) throw new ProtocolError(`${client} sent the activations of ${early.size + 1} steps ahead of the clock`)
      early.set(frame.step, frame)
      return
    }
    if (frame.step === this.#step) session.expected = true
    const activations = activationsOf(session, frame, session.request.batch)
    session.begun.add(frame.step)
    const features = await this.#queue.forward({ client, step: frame.step, activations })
    if (frame.step < this.#step) return this.#late(session)
    await session.channel.send({ kind: 'features', step: frame.step, tensors: [{ name: 'features', tensor: features }] })
  }

  async #backward (session: Session, frame: Frame): Promise<void> {
    if (!this.#current(session, frame)) return
    let activationGrad
    try {
      activationGrad = await this.#queue.backward({ client: session.client, step: frame.step, featureGrads: frame.tensors })
    } catch (error) {
      // The step closed while this gradient was queued for the worker.
      if ((error as { code?: string }).code === 'ERR_LATE') return this.#late(session)
      throw error
    }
    session.losses = frame.losses ?? []
    await session.channel.send({ kind: 'emb-grad', step: frame.step, tensors: [{ name: 'activations', tensor: activationGrad }] })
    if (!this.#sharesUnits(session)) this.#completed(session, frame.step)
  }

  /** Whether the frame belongs to a step that has begun and not closed; answers a late one with where the clock stands. */
  #current (session: Session, frame: Frame): boolean {
    if (session.begun.has(frame.step) && (this.#open || frame.step > this.#step)) return true
    this.#late(session)
    return false
  }

  /** Told when the clock stands again: a step that is closing is no step to go to. */
  #late (session: Session): void {
    this.#aside(session, this.#advancing.then(async () => {
      session.expected = this.#step >= session.waitFrom
      const frame = await this.#values(session)
      this.#tell(session, { ...frame, code: 'late', reason: `the clock stands at step ${frame.step}` })
    }))
  }

  /** Not awaited by the session that completes: closing a round needs that session's own verdicts. */
  #completed (session: Session, step: number): void {
    if (step >= this.#step) session.done.add(step)
    this.#check()
  }

  /** Closes the step once everybody it waits for is done; the first who is sets the deadline for the others. */
  #check (): void {
    if (!this.#open) return
    const sessions = [...this.#sessions.values()]
    const anybody = sessions.some(session => session.done.has(this.#step))
    if (anybody) this.#deadline ??= setTimeout(() => { this.#advance('deadline') }, this.#init.charter.clock.stepDeadlineMs)
    const pending = sessions.filter(session => session.expected && !session.done.has(this.#step))
    if (pending.length === 0 && anybody) return this.#advance('all')
    this.#waiting = waitingFor(this.#step, sessions, pending)
  }

  #advance (by: 'all' | 'deadline'): void {
    if (this.#open) this.#advancing = this.#closeStep(by)
  }

  async #closeStep (by: 'all' | 'deadline'): Promise<void> {
    clearTimeout(this.#deadline)
    this.#deadline = undefined
    const sessions = [...this.#sessions.values()]
    const contributing = sessions.filter(session => session.done.has(this.#step))
    const contributors = contributing.map(session => session.client).sort()
    if (contributors.length === 0) return // whoever was done has left since
    const losses = contributing.flatMap(session => session.losses)
    this.#open = false
    this.#queue.close(this.#step)
    for (const session of sessions) {
      closeSessionStep(session, this.#step)
      if (session.contributed) session.missed = 0
      if (session.contributed || !session.expected) continue
      this.#log.missed(session.client, `step ${this.#step}: no gradient within ${this.#init.charter.clock.stepDeadlineMs} ms`)
      missStep(session, this.#step)
    }
    try {
      const report = await (this.#whole?.apply(this.#step, contributors) ?? this.#trainer.applyStep(this.#step, contributors))
      this.#log.step(report, contributing.map(session => session.request))
      this.safeDispatchEvent('step:done', { detail: { step: this.#step, contributors, losses } })
      this.#step++
      if (this.#step % this.#training.stepsPerRound === 0) await this.#closeRound()
      await this.#openStep()
    } catch (error) {
      if (this.#abort.signal.aborted) return
      this.#end.reject(error)
      void this.stop(`host ${this.#init.id} failed at step ${this.#step} (${by}): ${(error as Error).message}`)
    }
  }

  /** Tells everybody that the clock runs, later those with shared units the new values; lets in the FORWARDs that came early. */
  async #openStep (): Promise<void> {
    if (this.#abort.signal.aborted) return
    const done = this.#step >= totalSteps(this.#training)
    const first = !this.#begun
    this.#begun = true
    for (const session of this.#sessions.values()) {
      if (done) session.expected = false
      if (session.contributed && this.#whole !== undefined) this.#tell(session, await this.#whole.next(session, this.#step))
      else if (first || (session.contributed && this.#sharesUnits(session))) this.#tell(session, await this.#values(session))
      session.contributed = false
    }
    if (done) {
      this.#end.resolve()
      this.#done = true
      this.safeDispatchEvent('host:finished', { detail: { step: this.#step } })
    }
    this.#open = !done
    this.#waiting = ''
    for (const session of this.#sessions.values()) {
      const early = [...session.early.values()]
      session.early.clear()
      for (const frame of early) this.#aside(session, this.#whole === undefined ? this.#forward(session, frame) : this.#contribute(this.#whole, session, frame))
    }
    this.#check() // with steps in flight, gradients of this one may be here already
  }

  #tryStart (): void {
    if (this.#started) return this.#check()
    const { clock } = this.#init.charter
    const [quorum, peers] = this.#comeBack === undefined ? [clock.quorum, clock.peers] : [this.#comeBack.aborted ? 1 : clock.quorum, this.#step > 0 ? 0 : clock.peers]
    if (this.#sessions.size < quorum) {
      this.#waiting = `waiting: ${this.#sessions.size} of ${quorum} clients needed to begin`
      return
    }
    this.#started = true
    this.#waiting = peers > 0 ? `waiting: ${peers} other hosts needed to begin` : ''
    this.#exchange.ready(peers, { signal: AbortSignal.any([this.#abort.signal, AbortSignal.timeout(START_MS)]) })
      .catch(() => { // a host that is not there after all this time is not waited for
        this.#abort.signal.throwIfAborted()
        this.#log.missed('hosts', `not all ${peers} others there after ${START_MS / 1000} s, begun without them`)
      })
      .then(async () => {
        this.#log.begin()
        await this.#openStep()
      })
      .catch(() => undefined)
  }

  async #closeRound (): Promise<void> {
    const round = this.#step / this.#training.stepsPerRound - 1
    this.#waiting = `waiting: closing round ${round}`
    const final = this.#step >= totalSteps(this.#training)
    const { taken, accepted, history, ...decision } = await meet({
      ...this.#init,
      trainer: this.#trainer,
      exchange: this.#exchange,
      round,
      sessions: [...this.#sessions.values()],
      contributors: this.#log.contributors,
      evaluate: async candidates => await this.#ballotOn(round, candidates),
      signal: this.#abort.signal
    })
    if (decision.merged.some(host => host !== this.#init.id)) this.#whole?.replaced()
    const { contributions } = this.#log
    const report = this.#log.close({ round, ...decision, final, bytes: this.#traffic.total })
    await this.#commit({ step: this.#step, contributions, taken, accepted, ...history === undefined ? {} : { history }, report, signal: this.#abort.signal, onWaiting: reason => { this.#waiting = reason } })
    for (const session of this.#sessions.values()) this.#tell(session, { kind: 'round', step: this.#step, round, tensors: [], report })
    this.safeDispatchEvent('round:closed', { detail: report })
  }

  /** Asks every client with a hold-out for its verdict on candidates, in order. Missing verdicts are missing, not waited for. */
  async #ballotOn (round: number, candidates: readonly string[]): Promise<readonly CandidateScore[]> {
    const { roundDeadlineMs } = this.#init.charter.clock
    const voters = [...this.#sessions.values()]
    const ballot = this.#ballot = new Ballot(round, voters.map(session => session.client), candidates)
    for (const candidate of candidates) {
      const units = await this.#clientUnits(candidate)
      for (const session of voters) this.#tell(session, { kind: 'eval', step: this.#step, round, candidate, tensors: unitsOf(session, units), ...this.#whole === undefined ? {} : { codec: 'f32' as const } })
    }
    await ballot.closed(roundDeadlineMs)
    this.#ballot = undefined
    for (const voter of ballot.late) this.#log.missed(voter, `round ${round}: no verdict within ${roundDeadlineMs} ms`)
    return ballot.scores
  }

  async #answer (session: Session, frame: Frame): Promise<void> {
    const candidate = frame.candidate ?? ''
    if (candidate === 'final') await this.#end.promise
    const features = await this.#trainer.inferWith(candidate === 'final' ? 'current' : candidate, activationsOf(session, frame, MAX_BATCH))
    await session.channel.send({ kind: 'eval-features', step: frame.step, candidate, tensors: [{ name: 'features', tensor: features }] })
  }

  async #detach (session: Session, reason: string): Promise<void> {
    await session.channel.close()
    this.#traffic.end(session.channel)
    if (this.#sessions.get(session.client) !== session) return
    this.#sessions.delete(session.client)
    this.#queue.drop(session.client)
    await this.#trainer.drop(session.client).catch(() => undefined)
    if (this.#step < totalSteps(this.#training)) this.#log.missed(session.client, `left at step ${this.#step}: ${reason}`)
    this.#ballot?.drop(session.client)
    this.safeDispatchEvent('client:detached', { detail: { client: session.client, reason } })
    this.#check()
  }

  /** Where the clock stands, and the values of the units that this client shares. */
  async #values (session: Session): Promise<Frame> {
    return await (this.#whole?.values(session, this.#step) ?? this.#clientUnits().then((units): Frame => ({ kind: 'step', step: this.#step, tensors: unitsOf(session, units) })))
  }

  /** Where the charter shares none, the worker need not be asked every step. */
  async #clientUnits (candidate?: string): Promise<readonly NamedTensor[]> {
    return this.#init.charter.shared.length === 0 ? [] : await this.#trainer.clientUnits(candidate)
  }

  #sharesUnits (session: Session): boolean { return this.#init.charter.shared.some(unit => hasUnit(session, unit)) }

  #tell (session: Session, frame: Frame): void {
    session.channel.send(frame).catch((error: Error) => { void session.channel.close(error) })
  }
}
