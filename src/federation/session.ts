import { ProtocolError } from '../errors.ts'
import { allFinite, sameShape } from '../tensor/tensor.ts'
import { embedUnitsOf } from '../models/inputs.ts'
import type { AttachRequest, Frame, FrameChannel, TaskLoss } from '../backbone/frames.ts'
import type { Charter } from './charter.ts'
import type { NamedTensor, TensorData } from '../tensor/tensor.ts'

/** What a host knows of one attached client. */
export interface Session {
  readonly client: string
  readonly request: AttachRequest
  readonly channel: FrameChannel
  /** Units of the embedders that its tasks are read through. */
  readonly embedders: ReadonlySet<string>
  /** Waited for at this step. */
  expected: boolean
  /** Steps whose features it has. */
  readonly begun: Set<number>
  /** Steps whose gradients are here. */
  readonly done: Set<number>
  /** Had its gradients in the step that closed last. */
  contributed: boolean
  /** Steps missed in a row, and the step from which it is waited for again. */
  missed: number
  waitFrom: number
  /** FORWARDs that came before their step could begin, by step. */
  readonly early: Map<number, Frame>
  /** Of its newest gradients. */
  losses: readonly TaskLoss[]
}

export function openSession (charter: Charter, request: AttachRequest, channel: FrameChannel): Session {
  return {
    client: request.client,
    request,
    channel,
    embedders: embedUnitsOf(charter, request.tasks),
    expected: true,
    begun: new Set(),
    done: new Set(),
    contributed: false,
    missed: 0,
    waitFrom: 0,
    early: new Map(),
    losses: []
  }
}

/** The step has closed: who took part in it is remembered, and what belongs to it forgotten. */
export function closeSessionStep (session: Session, step: number): void {
  session.contributed = session.done.has(step)
  for (const steps of [session.begun, session.done]) for (const earlier of steps) if (earlier <= step) steps.delete(earlier)
}

/**
 * A client that misses a step is not waited for until it is heard of again, and after the second miss in a row only every
 * 4, 8, 16 .. steps: one slow answer must not shut a slower client out, a client in trouble must not hold up the others.
 */
export function missStep (session: Session, step: number): void {
  session.expected = false
  session.missed++
  session.waitFrom = session.missed === 1 ? step : step + 2 ** session.missed
}

/** Why the step does not close, in one line. */
export function waitingFor (step: number, sessions: readonly Session[], pending: readonly Session[]): string {
  if (sessions.length === 0) return 'waiting: no client is attached'
  return `waiting: ${sessions.length - pending.length} of ${sessions.length} gradients of step ${step}, missing ${pending.map(session => session.client).join(', ')}`
}

/** Of the shared units those that this client has too. */
export function unitsOf (session: Session, units: readonly NamedTensor[]): readonly NamedTensor[] {
  return units.filter(({ name }) => hasUnit(session, name))
}

export function hasUnit ({ request, embedders }: Session, unit: string): boolean {
  return unit === 'trunk' || embedders.has(unit) || request.tasks.includes(unit.slice('head/'.length))
}

/** What the client announced when it attached is what it may send. @throws {ProtocolError} another cut, more rows, or numbers that are not finite */
export function activationsOf ({ request }: Session, frame: Frame, rows: number): TensorData {
  const [first] = frame.tensors
  if (first === undefined || frame.tensors.length !== 1) throw new ProtocolError(`a ${frame.kind} frame carries one tensor, got ${frame.tensors.length}`)
  const { shape } = first.tensor
  const [count = 0, ...cut] = shape
  if (count < 1 || count > rows || !sameShape(cut, request.cut)) throw new ProtocolError(`${request.client} announced at most ${rows} rows of [${request.cut.join(', ')}] and sent [${shape.join(', ')}]`)
  if (!allFinite(first.tensor.data)) throw new ProtocolError(`${request.client} sent activations that are not finite`)
  return first.tensor
}
