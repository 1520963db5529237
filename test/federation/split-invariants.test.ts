/**
 * What must hold of a split step whoever takes part in it, step by step on the trainers themselves and, where frames are
 * counted, between real roles: MTSL, which averages gradients and nothing else, and FedBone, which projects them.
 */
import test from 'ava'
import { ClientTrainer } from '../../src/training/client-trainer.ts'
import { HostTrainer } from '../../src/training/host-trainer.ts'
import { LocalTrainer } from '../../src/training/local-trainer.ts'
import { channelPair } from '../../src/backbone/memory-channel.ts'
import { createTask } from '../../src/tasks/index.ts'
import { findStrategy, settingsOf } from '../../src/strategies/index.ts'
import { simulate } from '../../src/federation/simulator.ts'
import { backwardAlone, forwardAlone, makeClient, makeHost, smallCharter } from '../helpers/federation.ts'
import { backendOn } from '../helpers/rungs.ts'
import { LEVEL, SIDE, clientData, syntheticDataset } from '../helpers/synthetic.ts'
import { byName } from '../helpers/tensors.ts'
import type { Charter, CharterOptions } from '../../src/federation/charter.ts'
import type { Frame, FrameChannel } from '../../src/backbone/frames.ts'
import type { TensorData } from '../../src/tensor/tensor.ts'

const backend = await backendOn('wasm')
const TASKS = [LEVEL, SIDE]
const IDS = ['ada', 'ben', 'cyd']
const SPLIT = ['mtsl', 'fedbone'] as const

function charterOf (strategy: string, own: Partial<CharterOptions> = {}): Charter {
  const clock = own.clock === undefined ? {} : { clock: own.clock }
  return smallCharter(TASKS, { ...settingsOf(findStrategy(strategy), {}, own), ...clock })
}

interface Bench {
  readonly host: HostTrainer
  readonly clients: ReadonlyMap<string, ClientTrainer>
}

function bench (charter: Charter, ids: readonly string[] = IDS, charterOfClient: (id: string) => Charter = () => charter): Bench {
  const clients = ids.map(id => [id, new ClientTrainer(backend, charterOfClient(id), clientData({ id, tasks: TASKS }), { control: false, baseline: false })] as const)
  return { host: new HostTrainer(backend, charter), clients: new Map(clients) }
}

/** One client's part of a step up to its embedder's update. */
async function part ({ host, clients }: Bench, id: string, step: number): Promise<void> {
  const client = clients.get(id) as ClientTrainer
  const { featureGrads } = await client.backward(step, await forwardAlone(host, id, step, await client.forward(step)))
  await client.finish(step, await backwardAlone(host, id, step, featureGrads))
}

async function stepOf (on: Bench, step: number, arriving: readonly string[] = IDS): Promise<void> {
  for (const id of arriving) await part(on, id, step)
  on.host.applyStep(step, arriving)
}

/** Weights and moments of the host and of some clients. */
function stateOf ({ host, clients }: Bench, ids: readonly string[] = [...clients.keys()]): Record<string, Readonly<Record<string, Float32Array>>> {
  return { host: byName(host.save()), ...Object.fromEntries(ids.map(id => [id, byName((clients.get(id) as ClientTrainer).save())])) }
}

function dispose (...benches: readonly Bench[]): void {
  for (const { host, clients } of benches) for (const trainer of [host, ...clients.values()]) trainer.dispose()
}

test.serial('MTSL: another learning rate of one client changes that client alone in the first step', async t => {
  const charter = charterOf('mtsl')
  const faster = charterOf('mtsl', { training: { lrClient: 3 * charter.training.lrClient } })
  const [same, changed] = [bench(charter), bench(charter, IDS, id => id === 'ada' ? faster : charter)]
  for (const on of [same, changed]) await stepOf(on, 0)
  const [before, after] = [stateOf(same), stateOf(changed)]
  for (const name of ['host', 'ben', 'cyd']) t.deepEqual(after[name], before[name], name)
  for (const unit of ['embed/image', 'head/level', 'head/side']) t.notDeepEqual(after.ada?.[unit], before.ada?.[unit], unit)
  for (const on of [same, changed]) await stepOf(on, 1)
  t.notDeepEqual(stateOf(changed).host, stateOf(same).host, 'from the second step on its activations are others')
  dispose(same, changed)
})

test.serial('MTSL: a trunk with a learning rate of 0 keeps its bits while clients learn', async t => {
  const charter = charterOf('mtsl', { training: { lrTrunk: 0 } })
  const on = bench(charter)
  const before = stateOf(on)
  for (let step = 0; step < 4; step++) await stepOf(on, step)
  const after = stateOf(on)
  t.deepEqual(after.host?.trunk, before.host?.trunk)
  for (const id of IDS) t.notDeepEqual(after[id]?.['embed/image'], before[id]?.['embed/image'], id)
  dispose(on)
})

test.serial('MTSL of one client is plain training of its model', async t => {
  const training = { rounds: 3, stepsPerRound: 4, lrTrunk: 1e-2, lrClient: 1e-2, lrLocal: 1e-2 }
  const charter = charterOf('mtsl', { training })
  const site = clientData({ id: 'ada', tasks: TASKS })
  const dataset = syntheticDataset({ clients: [{ id: 'ada', tasks: TASKS }] })
  const { clients } = await simulate({ charter, dataset, backend, hosts: ['host'], clients: ['ada'], control: false, baseline: false })
  const local = new LocalTrainer(backend, site, charter.model, charter.training, charter.seed)
  const lossesOf = async (): Promise<number[]> => {
    const predictions = await local.predict(site.test)
    return TASKS.map(spec => createTask(spec).score(predictions.get(spec.id) as TensorData, { shape: [site.test.count, 1, 1], data: site.test.y[spec.id] as Float32Array }).all.loss as number)
  }
  const start = await lossesOf()
  for (let step = 0; step < 12; step++) await local.step(step)
  const end = await lossesOf()
  for (const [i, { id }] of TASKS.entries()) {
    const split = clients[0]?.tasks.find(task => task.id === id)?.scores.federated?.all.loss as number
    const [from, to] = [start[i] as number, end[i] as number]
    t.true(Math.abs(to - from) > 0.01 * from, `${id} has learnt: ${from} -> ${to}`)
    t.true(Math.abs(split - to) < 1e-3 * to, `${id}: ${split} split, ${to} whole`)
  }
  local.dispose()
})

function tapped (channel: FrameChannel, see: (frame: Frame) => void): FrameChannel {
  return {
    peer: channel.peer,
    frames: channel.frames,
    get bytes () { return channel.bytes },
    send: async (frame, options) => {
      see(structuredClone(frame))
      await channel.send(frame, options)
    },
    close: async reason => { await channel.close(reason) }
  }
}

for (const strategy of SPLIT) {
  test.serial(`${strategy}: tensors are activations, features and their gradients, whatever the direction; none comes from another client`, async t => {
    const charter = charterOf(strategy, { clock: { quorum: IDS.length } as Charter['clock'] })
    const home = makeHost(backend, charter)
    const log: Array<{ readonly client: string, readonly from: 'client' | 'host', readonly frame: Frame }> = []
    const runs = IDS.map(id => {
      const { client, request } = makeClient(backend, charter, clientData({ id, tasks: TASKS }))
      const admission = home.host.admit(request)
      if ('code' in admission) throw new Error(admission.reason)
      const channels = channelPair({ client: id, host: home.id })
      void home.host.serve(request, tapped(channels.host, frame => { log.push({ client: id, from: 'host', frame }) }))
      return client.run(tapped(channels.client, frame => { log.push({ client: id, from: 'client', frame }) }), admission.step)
    })
    home.host.start()
    await Promise.all(runs)
    await home.host.stop()
    const kinds = (from: 'client' | 'host', full: boolean): string[] =>
      [...new Set(log.flatMap(entry => entry.from === from && (entry.frame.tensors.length > 0) === full ? [entry.frame.kind] : []))].sort()
    t.deepEqual(kinds('client', true), ['eval-forward', 'forward', 'grads'])
    t.deepEqual(kinds('host', true), ['emb-grad', 'eval-features', 'features'])
    t.deepEqual(kinds('host', false), ['round', 'step'], 'a step brings no weights')
    const sentBy = new Map<string, string>()
    for (const { client, from, frame } of log) {
      for (const { name, tensor: { shape, data } } of frame.tensors) {
        t.deepEqual(shape.slice(1), [4, 8], `${frame.kind} ${name}: the cut's shape`)
        const numbers = data.join()
        if (from === 'client') sentBy.set(numbers, client)
        else t.true((sentBy.get(numbers) ?? client) === client, `${client} got what ${sentBy.get(numbers)} sent`)
      }
    }
    t.true(sentBy.size > 20)
  })

  test.serial(`${strategy}: the order in which clients arrive changes no bit`, async t => {
    const [first, second] = [bench(charterOf(strategy)), bench(charterOf(strategy))]
    for (let step = 0; step < 3; step++) {
      await stepOf(first, step)
      await stepOf(second, step, step % 2 === 0 ? ['cyd', 'ada', 'ben'] : ['ben', 'cyd', 'ada'])
    }
    t.deepEqual(stateOf(second), stateOf(first))
    dispose(first, second)
  })

  for (const { id, begun } of [{ id: 'between two steps', begun: false }, { id: 'with a step under way', begun: true }]) {
    test.serial(`${strategy}: who leaves ${id} is from there on as if it had never been`, async t => {
      const charter = charterOf(strategy)
      const left = bench(charter)
      for (let step = 0; step < 2; step++) await stepOf(left, step)
      const others = ['ada', 'cyd']
      const never = bench(charter, others)
      never.host.load(left.host.save())
      for (const other of others) never.clients.get(other)?.load((left.clients.get(other) as ClientTrainer).save())
      const before = backend.liveTensors()
      if (begun) await forwardAlone(left.host, 'ben', 2, await (left.clients.get('ben') as ClientTrainer).forward(2))
      left.host.drop('ben')
      left.clients.get('ben')?.dispose()
      t.true(backend.liveTensors() <= before, 'what it had open is freed')
      for (let step = 2; step < 5; step++) for (const on of [left, never]) await stepOf(on, step, others)
      t.deepEqual(stateOf(left, others), stateOf(never))
      for (const trainer of [left.host, ...others.map(other => left.clients.get(other) as ClientTrainer)]) trainer.dispose()
      dispose(never)
    })
  }

  test.serial(`${strategy}: gradients of a step that has closed are refused and move nothing`, async t => {
    const [late, quiet] = [bench(charterOf(strategy)), bench(charterOf(strategy))]
    const ben = late.clients.get('ben') as ClientTrainer
    const { featureGrads } = await ben.backward(0, await forwardAlone(late.host, 'ben', 0, await ben.forward(0)))
    for (const on of [late, quiet]) await stepOf(on, 0, ['ada', 'cyd'])
    await t.throwsAsync(backwardAlone(late.host, 'ben', 0, featureGrads), { code: 'ERR_LATE' })
    await t.throwsAsync(backwardAlone(late.host, 'ben', 1, featureGrads), { code: 'ERR_LATE' }, 'nor in place of another step')
    for (const on of [late, quiet]) await stepOf(on, 1, ['ada', 'cyd'])
    t.deepEqual(stateOf(late, ['ada', 'cyd']), stateOf(quiet, ['ada', 'cyd']))
    dispose(late, quiet)
  })
}
