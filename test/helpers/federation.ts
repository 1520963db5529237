/** A consortium put together by hand: charters, hosts and clients that a test can hold up, cut off and look into. */
import { BackboneHost } from '../../src/federation/backbone-host.ts'
import { ClientTrainer } from '../../src/training/client-trainer.ts'
import { ExchangeHub } from '../../src/federation/exchange.ts'
import { HostTrainer } from '../../src/training/host-trainer.ts'
import { SplitClient } from '../../src/federation/split-client.ts'
import { channelPair } from '../../src/backbone/memory-channel.ts'
import { ProtocolError } from '../../src/errors.ts'
import { charterHash, createCharter } from '../../src/federation/charter.ts'
import { outgoingGuard } from '../../src/backbone/guard.ts'
import { queued } from '../../src/compute/remote.ts'
import { PICTURES } from './synthetic.ts'
import type { BackboneHostComponents } from '../../src/federation/backbone-host.ts'
import type { AttachRequest, Frame, FrameChannel } from '../../src/backbone/frames.ts'
import type { Backend } from '../../src/backend/backend.ts'
import type { BackwardResult } from '../../src/training/open-passes.ts'
import type { Charter, CharterOptions } from '../../src/federation/charter.ts'
import type { ClientData } from '../../src/data/dataset.ts'
import type { DeltaExchange } from '../../src/federation/exchange.ts'
import type { NamedTensor, TensorData } from '../../src/tensor/tensor.ts'
import type { Remote } from '../../src/compute/remote.ts'
import type { TaskSpec } from '../../src/tasks/task.ts'

/** Four tokens of eight numbers, one block, two rounds of three steps. */
export function smallCharter (tasks: readonly TaskSpec[], changes: Partial<CharterOptions> = {}): Charter {
  return createCharter({
    name: 'small',
    seed: 7,
    input: PICTURES,
    tasks,
    ...changes,
    model: { width: 8, layers: 1, heads: 2, hidden: 12, embedder: { patch: 4 }, ...changes.model },
    training: { rounds: 2, stepsPerRound: 3, batch: 6, warmup: 2, ...changes.training }
  })
}

export interface TestHost {
  readonly id: string
  readonly host: BackboneHost
  readonly trainer: HostTrainer
}

export function makeHost (backend: Backend, charter: Charter, init: { id?: string, slots?: number, exchange?: DeltaExchange, commit?: BackboneHostComponents['commit'] } = {}): TestHost {
  const id = init.id ?? 'host'
  const trainer = new HostTrainer(backend, charter)
  const exchange = init.exchange ?? new ExchangeHub([id]).exchangeOf(id)
  const host = new BackboneHost({ trainer: queued(trainer), exchange, ...init.commit === undefined ? {} : { commit: init.commit } }, { id, charter, slots: init.slots ?? 8, heartbeatMs: Infinity })
  return { id, host, trainer }
}

/** Before a call of the trainer's method goes through, this is awaited. */
export type Gates = Partial<Record<'forward' | 'backward' | 'finish' | 'contribute', (step: number) => Promise<void>>>

export interface TestClient {
  readonly name: string
  readonly client: SplitClient
  readonly trainer: ClientTrainer
  readonly request: AttachRequest
  readonly cut: readonly number[]
}

export function makeClient (backend: Backend, charter: Charter, data: ClientData, gates: Gates = {}, baseline = true): TestClient {
  const trainer = new ClientTrainer(backend, charter, data, { control: false, baseline })
  const { tasks, cut, batch, samples } = trainer.describe()
  const client = new SplitClient(gated(queued(trainer), gates), { charter, silenceMs: Infinity, holdoutRows: samples.holdout, testRows: samples.test })
  const request: AttachRequest = { client: data.id, name: data.id, model: charterHash(charter), tasks, cut, samples: samples.train, batch }
  return { name: data.id, client, trainer, request, cut }
}

export interface Attachment {
  readonly channels: { readonly client: FrameChannel, readonly host: FrameChannel }
  /** Settles when the client has finished, or rejects with what ended it. */
  readonly ran: Promise<void>
  /** Resolves with the reason for which the host let the client go. */
  readonly served: Promise<string>
}

export function attach (to: TestHost, { client, request, cut, name }: TestClient, charter: Charter, onFrame: (frame: Frame) => void = () => {}, onAnswer: (frame: Frame) => void = () => {}): Attachment {
  const admission = to.host.admit(request)
  if ('code' in admission) throw new Error(admission.reason)
  const guard = outgoingGuard({ cut, tasks: request.tasks, shared: charter.shared, whole: charter.model.trunk === 'client' })
  const channels = channelPair({
    client: name,
    host: to.id,
    guard: frame => {
      guard(frame)
      onFrame(frame)
    }
  })
  const send = channels.host.send.bind(channels.host)
  channels.host.send = async (frame, options) => {
    onAnswer(frame)
    await send(frame, options)
  }
  const served = to.host.serve(request, channels.host)
  const ran = client.run(channels.client, admission.step)
  ran.catch(() => undefined) // a test that cares awaits it
  return { channels, ran, served }
}

function gated (trainer: Remote<ClientTrainer>, gates: Gates): Remote<ClientTrainer> {
  return new Proxy(trainer, {
    get: (target, name) => {
      const gate = gates[name as keyof Gates]
      const method = target[name as keyof Remote<ClientTrainer>] as ((...args: unknown[]) => Promise<unknown>) | undefined
      if (gate === undefined || method === undefined) return method
      return async (...args: unknown[]) => {
        await gate(args[0] as number)
        return await method(...args)
      }
    }
  })
}

/** The first event of this name for which `when` holds. */
export async function until<T> (target: EventTarget, name: string, when: (detail: T) => boolean = () => true): Promise<T> {
  return await new Promise(resolve => {
    const listener = (event: Event): void => {
      const { detail } = event as CustomEvent<T>
      if (!when(detail)) return
      target.removeEventListener(name, listener)
      resolve(detail)
    }
    target.addEventListener(name, listener)
  })
}

type Passes = Pick<HostTrainer | Remote<HostTrainer>, 'forward' | 'backward'>

/** One client's activations through the trunk, in a pass of its own. */
export async function forwardAlone (host: Passes, client: string, step: number, activations: TensorData): Promise<TensorData> {
  return (await host.forward([{ client, step, activations }]))[0] as TensorData
}

/** One client's gradients. @throws {ProtocolError} as the host answers */
export async function backwardAlone (host: Passes, client: string, step: number, featureGrads: readonly NamedTensor[]): Promise<TensorData> {
  const result = (await host.backward([{ client, step, featureGrads }]))[0] as BackwardResult
  if ('tensor' in result) return result.tensor
  throw new ProtocolError(result.message, { code: result.code })
}
