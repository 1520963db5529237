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
import { Traffic } from './traffic.ts'
import { WholeStep, expectWhole } from './whole-step.ts'
import { activationsOf, hasUnit, missStep, openSession, unitsOf } from './session.ts'
import { totalSteps } from '../training/spec.ts'
import type { Admission, AttachRequest, CandidateScore, Frame, FrameChannel, RoundReport, TaskLoss } from '../backbone/frames.ts'
import type { Charter } from './charter.ts'
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
  readonly commit?: (at: { step: number, round: number }) => Promise<void>
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
  #resumed = false
  #advancing: Promise<void> = Promise.resolve()
  #waiting = 'waiting: no client has attached yet'
  #deadline: NodeJS.Timeout | undefined
  #heartbeat: NodeJS.Timeout | undefined
  #ballot: Ballot | undefined
  readonly #end = Promise.withResolvers<void>()

  constructor (components: BackboneHostComponents, init: BackboneHostInit) {
    super()
    this.#trainer = components.trainer
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
    const { up, down } = this.#traffic.total()
    return { sent: down, received: up }
  }

  /** What this host waits for right now, in one line; empty while it trains. */
  get waiting (): string { return this.#waiting }
  /** Resolves after the last round is closed; rejects when this host cannot go on. */
  get finished (): Promise<void> { return this.#end.promise }

  /**
   * Goes on where a checkpoint ended; the trainer has been loaded already. The consortium was complete once, and meanwhile
   * its clients may be served elsewhere: whoever comes first is served at once.
   */
  resume (step: number): void {
    this.#step = step
    this.#resumed = step > 0
    if (this.#resumed) this.#whole?.replaced()
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
    const heartbeatMs = this.#init.heartbeatMs ?? HEARTBEAT_MS
    if (Number.isFinite(heartbeatMs)) {
      let lastStep = -1
      this.#heartbeat = setInterval(() => {
        // A reason only while the clock stands still; between two beats it usually ticks.
        const reason = this.#step === lastStep ? this.#waiting : ''
        lastStep = this.#step
        for (const session of this.#sessions.values()) this.#tell(session, { kind: 'pause', step: this.#step, tensors: [], reason })
      }, heartbeatMs)
    }
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
    const session = openSession(request, channel)
    this.#sessions.set(client, session)
    this.#traffic.open(channel)
    this.safeDispatchEvent('client:attached', { detail: { client, returning: this.#known.has(client) } })
    this.#known.add(client)
    let reason = 'the connection closed'
    try {
      if (this.#whole === undefined) {
        const units = unitsOf(session, await this.#clientUnits())
        if (units.length > 0) await channel.send({ kind: 'step', step: this.#step, tensors: units })
      } else {
        await this.#advancing
        await channel.send(await this.#whole.values(session, this.#step))
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

  async #handle (session: Session, frame: Frame): Promise<void> {
    if (this.#whole !== undefined) expectWhole(frame)
    switch (frame.kind) {
      case 'forward': return await this.#forward(session, frame)
      case 'grads': return await this.#backward(session, frame)
      case 'share': {
        // Not awaited: while a step closes, this session's verdicts must get through.
        if (this.#whole !== undefined) return this.#take(session, frame)
        if (!this.#current(session, frame)) return
        await this.#trainer.share(session.client, frame.step, frame.tensors)
        return this.#completed(session)
      }
      case 'eval-forward': {
        // Answered aside: the live trunk may still be under way to its last step.
        this.#answer(session, frame).catch((error: Error) => { void session.channel.close(error) })
        return
      }
      case 'eval-result': {
        if (frame.round === this.#ballot?.round) this.#ballot?.accept(session.client, frame.candidate ?? '', frame.scores ?? [])
        return
      }
      default: throw new ProtocolError(`a client does not send ${frame.kind} frames`)
    }
  }

  #take (session: Session, frame: Frame): void {
    this.#contribute(this.#whole as WholeStep, session, frame).catch((error: Error) => { void session.channel.close(error) })
  }

  async #contribute (whole: WholeStep, session: Session, frame: Frame): Promise<void> {
    const now = (): boolean => this.#open && frame.step === this.#step
    if (now()) {
      session.expected = true
      session.losses = frame.losses ?? []
      await whole.take(session, frame)
      if (now()) return this.#completed(session)
    }
    // While a step closes, the values that it will leave are not known yet.
    if (frame.step > this.#step || !(this.#open || this.#done)) session.early = frame
    else this.#late(session)
  }

  async #forward (session: Session, frame: Frame): Promise<void> {
    if (frame.step < this.#step) return this.#late(session)
    if (!this.#open || frame.step > this.#step) {
      session.early = frame
      return
    }
    session.expected = true
    const features = await this.#trainer.forward(session.client, frame.step, activationsOf(session, frame, session.request.batch))
    if (frame.step < this.#step) return this.#late(session)
    await session.channel.send({ kind: 'features', step: frame.step, tensors: [{ name: 'features', tensor: features }] })
  }

  async #backward (session: Session, frame: Frame): Promise<void> {
    if (!this.#current(session, frame)) return
    let activationGrad
    try {
      activationGrad = await this.#trainer.backward(session.client, frame.step, frame.tensors)
    } catch (error) {
      // The step closed while this gradient was queued for the worker.
      if ((error as { code?: string }).code === 'ERR_LATE') return this.#late(session)
      throw error
    }
    session.losses = frame.losses ?? []
    await session.channel.send({ kind: 'emb-grad', step: frame.step, tensors: [{ name: 'activations', tensor: activationGrad }] })
    if (!this.#sharesUnits(session)) this.#completed(session)
  }

  /** Whether the frame belongs to the open step; answers a late one with where the clock stands. */
  #current (session: Session, frame: Frame): boolean {
    if (this.#open && frame.step === this.#step && session.expected) return true
    this.#late(session)
    return false
  }

  #late (session: Session): void {
    session.expected = this.#step >= session.waitFrom
    const frame = this.#whole?.values(session, this.#step) ?? this.#clientUnits().then((units): Frame => ({ kind: 'step', step: this.#step, tensors: unitsOf(session, units) }))
    frame.then(
      values => this.#tell(session, { ...values, code: 'late', reason: `the clock stands at step ${values.step}` }),
      (error: Error) => { void session.channel.close(error) })
  }

  /** Not awaited by the session that completes: closing a round needs that session's own verdicts. */
  #completed (session: Session): void {
    session.complete = true
    this.#deadline ??= setTimeout(() => { this.#advance('deadline') }, this.#init.charter.clock.stepDeadlineMs)
    this.#check()
  }

  /** Closes the step once everybody it waits for is done. */
  #check (): void {
    if (!this.#open) return
    const sessions = [...this.#sessions.values()]
    const pending = sessions.filter(session => session.expected && !session.complete)
    if (pending.length > 0 || !sessions.some(session => session.complete)) {
      this.#waiting = sessions.length === 0
        ? 'waiting: no client is attached'
        : `waiting: ${sessions.length - pending.length} of ${sessions.length} gradients of step ${this.#step}, missing ${pending.map(session => session.client).join(', ')}`
      return
    }
    this.#advance('all')
  }

  #advance (by: 'all' | 'deadline'): void {
    if (this.#open) this.#advancing = this.#closeStep(by)
  }

  async #closeStep (by: 'all' | 'deadline'): Promise<void> {
    clearTimeout(this.#deadline)
    this.#deadline = undefined
    const sessions = [...this.#sessions.values()]
    const contributors = sessions.filter(session => session.complete).map(session => session.client).sort()
    if (contributors.length === 0) return // whoever was done has left since
    this.#open = false
    for (const session of sessions) {
      if (session.complete) session.missed = 0
      if (session.complete || !session.expected) continue
      this.#log.missed(session.client, `step ${this.#step}: no gradient within ${this.#init.charter.clock.stepDeadlineMs} ms`)
      missStep(session, this.#step)
    }
    try {
      const report = await (this.#whole?.apply(this.#step, contributors) ?? this.#trainer.applyStep(this.#step, contributors))
      this.#log.step(report, contributors)
      const losses = sessions.flatMap(session => session.complete ? session.losses : [])
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

  /** Tells clients with shared units the new values, and lets in the FORWARDs that came early. */
  async #openStep (): Promise<void> {
    if (this.#abort.signal.aborted) return
    const done = this.#step >= totalSteps(this.#training)
    const units = this.#whole === undefined ? await this.#clientUnits() : []
    for (const session of this.#sessions.values()) {
      if (done) session.expected = false
      if (session.complete && this.#whole !== undefined) this.#tell(session, await this.#whole.next(session, this.#step))
      else if (session.complete && this.#sharesUnits(session)) this.#tell(session, { kind: 'step', step: this.#step, tensors: unitsOf(session, units) })
      session.complete = false
    }
    if (done) {
      this.#end.resolve()
      this.#done = true
      this.safeDispatchEvent('host:finished', { detail: { step: this.#step } })
    }
    this.#open = !done
    this.#waiting = ''
    for (const session of this.#sessions.values()) {
      const { early } = session
      session.early = undefined
      // Not awaited: one client's forward must not hold up another's.
      if (early !== undefined && this.#whole !== undefined) this.#take(session, early)
      else if (early !== undefined) this.#forward(session, early).catch((error: Error) => { void session.channel.close(error) })
    }
  }

  #tryStart (): void {
    const { clock } = this.#init.charter
    const { quorum, peers } = this.#resumed ? { quorum: 1, peers: 0 } : clock
    if (this.#sessions.size < quorum) {
      this.#waiting = `waiting: ${this.#sessions.size} of ${quorum} clients needed to begin`
      return
    }
    if (this.#started) {
      this.#check()
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
    const { id, charter } = this.#init
    const decision = await meet({
      id,
      charter,
      trainer: this.#trainer,
      exchange: this.#exchange,
      round,
      sessions: [...this.#sessions.values()],
      contributors: this.#log.contributors,
      evaluate: async candidates => await this.#ballotOn(round, candidates),
      signal: this.#abort.signal
    })
    if (decision.merged.some(host => host !== id)) this.#whole?.replaced()
    await this.#commit({ step: this.#step, round })
    const report: RoundReport = this.#log.close({ round, ...decision, final, bytes: this.#traffic.total() })
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
    await this.#trainer.drop(session.client).catch(() => undefined)
    if (this.#step < totalSteps(this.#training)) this.#log.missed(session.client, `left at step ${this.#step}: ${reason}`)
    this.#ballot?.drop(session.client)
    this.safeDispatchEvent('client:detached', { detail: { client: session.client, reason } })
    this.#check()
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
