/** Roles that lose their compute worker under way: they take another one and go on from the newest checkpoint. */
import test from 'ava'
import { BackendError } from '../../src/errors.ts'
import { ClientRole } from '../../node/roles/client-role.ts'
import { ClientTrainer } from '../../src/training/client-trainer.ts'
import { HostRole } from '../../node/roles/host-role.ts'
import { HostTrainer } from '../../src/training/host-trainer.ts'
import { Losses } from '../../node/roles/losses.ts'
import { backendOn } from '../helpers/rungs.ts'
import { channelPair } from '../../src/backbone/memory-channel.ts'
import { losable } from '../helpers/losable.ts'
import { makeClient, makeHost, smallCharter, until } from '../helpers/federation.ts'
import { LEVEL, clientData } from '../helpers/synthetic.ts'
import { totalSteps } from '../../src/training/spec.ts'
import type { BackboneHost } from '../../src/federation/backbone-host.ts'
import type { LocalHost } from '../../node/roles/client-role.ts'
import type { ExecutionContext } from 'ava'
import type { HostTrainerInit } from '../../src/compute/spawn.ts'
import type { Losable } from '../helpers/losable.ts'
import type { NodeEvent } from '../../node/events.ts'
import type { Protocols } from '../../protocols/index.ts'
import type { RungName } from '../../src/backend/ladder.ts'

const backend = await backendOn('cpu')
const charter = smallCharter([LEVEL], { training: { rounds: 4 } })
const stepsPerRound = charter.training.stepsPerRound
const data = clientData({ id: 'ada', tasks: [LEVEL] })

/** A node alone: nobody to gossip with. */
const alone = {
  announce: { hosts: [], onCard: () => () => {}, onExpired: () => () => {}, publish: async () => {} },
  delta: { onDelta: () => () => {}, onEquivocation: () => () => {}, publish: async () => {} },
  serve: async () => async () => {}
} as unknown as Protocols

interface Hosting {
  readonly role: HostRole
  readonly events: NodeEvent[]
  /** Each worker so far, and the rung that it was asked for. */
  readonly workers: Array<Losable<HostTrainer> & { readonly asked: RungName | undefined }>
}

/** @param ready - what each worker after the first waits for before it is up */
async function host (t: ExecutionContext, ready: Promise<void> = Promise.resolve()): Promise<Hosting> {
  const events: NodeEvent[] = []
  const workers: Hosting['workers'] = []
  const role = await HostRole.create({
    node: 'host',
    peer: 'host',
    charter,
    slots: 2,
    announceMs: 60_000,
    backend: 'webgpu',
    emit: event => events.push(event),
    spawn: async (init: HostTrainerInit) => {
      if (workers.length > 0) await ready
      const worker = { ...losable(new HostTrainer(backend, init.charter), init.backend ?? 'cpu'), asked: init.backend }
      workers.push(worker)
      return worker.compute
    }
  })
  t.teardown(async () => { await role.stop() })
  await role.start(alone, () => [])
  return { role, events, workers }
}

test.serial('a host that loses its worker in mid-round goes on from the round\'s start, and its client to the end', async t => {
  const ready = Promise.withResolvers<void>()
  const { role, events, workers } = await host(t, ready.promise)
  const { client, request } = makeClient(backend, charter, data)
  const attach = async (): Promise<{ step: number, ran: Promise<void> }> => {
    const admission = role.admit(request)
    if ('code' in admission) throw new Error(admission.reason)
    const channels = channelPair({ client: 'ada', host: 'host', guard: () => {} })
    void role.serve(request, channels.host)
    return { step: admission.step, ran: client.run(channels.client, admission.step) }
  }
  const first = await attach()
  void until<{ step: number }>(client, 'step:done', ({ step }) => step === stepsPerRound).then(() => { workers[0]?.lose() })
  await t.throwsAsync(first.ran)
  const refusal = role.admit(request)
  t.is('code' in refusal ? refusal.code : '', 'RESTARTING')
  ready.resolve()
  while ('code' in role.admit(request)) await new Promise(resolve => { setTimeout(resolve, 10) })
  const second = await attach()
  t.is(second.step, stepsPerRound, 'the round under way begins again')
  await second.ran
  await role.finished
  t.is(role.host.step, totalSteps(charter.training))
  t.deepEqual(events.filter(event => event.type === 'round').map(({ report }) => report.round), [0, 1, 2, 3])
  const told = events.filter(event => event.type === 'error')
  t.deepEqual(told.map(({ code, message }) => [code, message]), [['ERR_COMPUTE_LOST', `the graphics device was lost (made up): by the test; goes on at step ${stepsPerRound} on webgpu`]])
  t.is(workers.length, 2)
})

test.serial('a host whose workers are lost again and again goes down the ladder, then ends with the reason', async t => {
  const { role, workers } = await host(t)
  role.finished.catch(() => undefined)
  for (let losses = 1; losses <= 3; losses++) {
    workers.at(-1)?.lose()
    while (workers.length === losses) await new Promise(resolve => { setTimeout(resolve, 5) })
    await new Promise(resolve => { setTimeout(resolve, 20) }) // the role has it in place
  }
  t.deepEqual(workers.map(({ asked }) => asked), ['webgpu', 'webgpu', 'tensorflow', 'wasm'])
  workers.at(-1)?.lose()
  await t.throwsAsync(role.finished, { instanceOf: BackendError, message: /graphics device was lost/ })
})

test.serial('a client that loses its worker takes another one, and ends with its report', async t => {
  const { host } = makeHost(backend, charter, { id: 'ada' })
  host.start()
  const events: NodeEvent[] = []
  const workers: Array<Losable<ClientTrainer>> = []
  const role = await ClientRole.create({
    node: 'ada',
    peer: 'ada',
    charter,
    trainer: { data: { path: '', client: 'ada', options: { seed: 1 } }, control: false },
    prefer: [],
    emit: event => events.push(event),
    spawn: async init => {
      const worker = losable(new ClientTrainer(backend, init.charter, data, { control: false }), 'webgpu')
      workers.push(worker)
      return worker.compute
    }
  })
  void until<{ step: number }>(host, 'step:done', ({ step }) => step === stepsPerRound + 1).then(() => { workers[0]?.lose() })
  const report = await role.run(alone, asLocal(host), new AbortController().signal)
  t.truthy(report)
  t.is(workers.length, 2)
  t.deepEqual(events.filter(event => event.type === 'error').map(({ code }) => code), ['ERR_COMPUTE_LOST'])
  t.is(events.filter(event => event.type === 'client:attached').length, 2)
  t.is(events.filter(event => event.type === 'client:computing').length, 2, 'each worker is brought up once')
  t.deepEqual(events.filter(event => event.type === 'client:detached'), [], 'its host did nothing wrong')
  await role.stop()
})

test.serial('a client whose worker is lost before it was brought up takes another one', async t => {
  const { host } = makeHost(backend, charter, { id: 'ada' })
  host.start()
  const events: NodeEvent[] = []
  const asked: Array<RungName | undefined> = []
  const role = await ClientRole.create({
    node: 'ada',
    peer: 'ada',
    charter,
    trainer: { data: { path: '', client: 'ada', options: { seed: 1 } }, control: false },
    prefer: [],
    emit: event => events.push(event),
    spawn: async init => {
      asked.push(init.backend)
      const { compute, lose } = losable(new ClientTrainer(backend, init.charter, data, { control: false }), 'cpu')
      if (asked.length > 1) return compute
      return { ...compute, bringUp: async () => { lose(); return await compute.bringUp() } }
    }
  })
  t.truthy(await role.run(alone, asLocal(host), new AbortController().signal))
  t.deepEqual(asked, [undefined, undefined])
  t.deepEqual(events.filter(event => event.type === 'error').map(({ code }) => code), ['ERR_COMPUTE_LOST'])
  t.is(events.filter(event => event.type === 'client:computing').length, 1)
  await role.stop()
})

test('losses count in a row: a checkpoint settles them', t => {
  const losses = new Losses()
  const error = new BackendError('gone')
  t.is(losses.next(error, 'webgpu'), 'webgpu')
  t.is(losses.next(error, 'webgpu'), 'tensorflow')
  losses.settled()
  t.is(losses.next(error, 'cpu'), 'cpu')
  t.is(losses.next(error, 'cpu'), 'cpu', 'nothing is below')
  t.is(losses.next(error, 'cpu'), 'cpu')
  t.throws(() => losses.next(error, 'cpu'), { is: error })
  losses.settled()
  t.deepEqual([1, 2].map(() => losses.next(error, undefined)), [undefined, undefined], 'none was loaded')
})

/** What a client sees of the host in its own node. */
function asLocal (host: BackboneHost): LocalHost {
  return {
    admit: request => host.admit(request),
    serve: async (request, channel) => await host.serve(request, channel),
    offer: { host: 'ada', attached: 0, slots: 8, step: 0, samplesPerSecond: 1000 }
  }
}
