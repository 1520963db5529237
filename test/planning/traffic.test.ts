import test from 'ava'
import { ClientTrainer } from '../../src/training/client-trainer.ts'
import { HostTrainer } from '../../src/training/host-trainer.ts'
import { TrafficPlan, gossipBytes, modelFloats, payloadBytes } from '../../src/planning/index.ts'
import { MAX_FRAME_BYTES } from '../../protocols/limits.ts'
import { createProtocols } from '../../protocols/index.ts'
import { encodeFrame, frameBytes } from '../../protocols/split-step/index.ts'
import { prefixBytes } from '../../protocols/stream.ts'
import { simulate } from '../../src/federation/simulator.ts'
import { attach, makeClient, makeHost, smallCharter } from '../helpers/federation.ts'
import { backendOn } from '../helpers/rungs.ts'
import * as compression from '../../src/compression/index.ts'
import { pair } from '../protocols/nodes.ts'
import { findStrategy, settingsOf } from '../../src/strategies/index.ts'
import { THREE, clientData, syntheticDataset } from '../helpers/synthetic.ts'
import type { CharterOptions } from '../../src/federation/charter.ts'
import type { ClientDescription } from '../../src/training/client-description.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { CodecName } from '../../src/compression/index.ts'
import type { Frame, FrameChannel } from '../../src/backbone/frames.ts'
import type { Traffic } from '../../src/planning/index.ts'
import type { ExecutionContext } from 'ava'

const backend = await backendOn('wasm')
const dataset = syntheticDataset({ clients: THREE })
const MARGIN = 0.05

async function describe (charter: Charter, id: string): Promise<ClientDescription> {
  const trainer = new ClientTrainer(backend, charter, await dataset.client(id), { control: false })
  const site = trainer.describe()
  trainer.dispose()
  return site
}

function within (t: ExecutionContext, what: string, predicted: number, carried: number): void {
  t.true(carried > 0, `${what}: nothing was carried`)
  t.true(Math.abs(predicted / carried - 1) <= MARGIN, `${what}: ${predicted} predicted, ${carried} carried`)
}

/** Whole models: three exchanges of two gradient steps each in a round. */
function whole (strategy: string, changes: Partial<CharterOptions> = {}): Partial<CharterOptions> {
  const settings = settingsOf(findStrategy(strategy), {}, changes)
  return { ...changes, ...settings, training: { ...settings.training, lrLocal: 1e-3, rounds: 2, stepsPerRound: 3, localSteps: 2 } }
}

const RUNS: Array<{ id: string, hosts: number, changes: Partial<CharterOptions> }> = [
  { id: 'f32', hosts: 1, changes: {} },
  { id: 'int8', hosts: 1, changes: { cutCodec: 'int8' } },
  { id: 'bf16, two hosts that ask their clients', hosts: 2, changes: { cutCodec: 'bf16' } },
  { id: 'int8, gradients per task', hosts: 1, changes: { cutCodec: 'int8', projection: { unit: 'task' } } },
  { id: 'int8, shared embedder and head, two hosts', hosts: 2, changes: { cutCodec: 'int8', model: { sharedEmbedder: true, sharedHeads: ['level'] } } },
  { id: 'FedAvg', hosts: 1, changes: whole('fedavg') },
  { id: 'FedAvg, int8', hosts: 1, changes: whole('fedavg', { cutCodec: 'int8' }) },
  { id: 'FedAvg, int8, two hosts whose merge is told exactly', hosts: 2, changes: whole('fedavg', { cutCodec: 'int8' }) },
  { id: 'FedAvg, two hosts that never meet', hosts: 2, changes: whole('fedavg', { merge: { mode: 'none' } }) },
  { id: 'FedAvg, two hosts that ask their clients', hosts: 2, changes: whole('fedavg', { merge: { mode: 'select' } }) },
  { id: 'private heads', hosts: 1, changes: whole('fedper') },
  { id: 'private normalisations travel as zeros', hosts: 1, changes: whole('fedln') },
  { id: 'a personal model stays at home', hosts: 1, changes: whole('ditto') },
  { id: 'and so does one that leads', hosts: 1, changes: whole('pfedme') }
]
for (const { id, hosts, changes } of RUNS) {
  test.serial(`a simulated run carries the bytes that were predicted: ${id}`, async t => {
    const charter = smallCharter(dataset.tasks, changes)
    const { bytes } = await simulate({ charter, dataset, backend, hosts: ['a', 'b'].slice(0, hosts), clients: dataset.clientIds, control: false })
    const plans = await Promise.all(dataset.clientIds.map(async name =>
      new TrafficPlan(charter, await describe(charter, name), { codec: charter.cutCodec, sizeOf: payloadBytes }).run(hosts - 1)))
    within(t, 'up', plans.reduce((sum, { up }) => sum + up, 0), bytes.up)
    within(t, 'down', plans.reduce((sum, { down }) => sum + down, 0), bytes.down)
  })
}

const WIRES: Array<{ id: string, changes: Partial<CharterOptions> }> = [
  { id: 'f32', changes: {} },
  { id: 'int8', changes: { cutCodec: 'int8' } },
  { id: 'FedAvg', changes: whole('fedavg') },
  { id: 'FedAvg, int8', changes: whole('fedavg', { cutCodec: 'int8' }) }
]
for (const { id, changes } of WIRES) {
  test.serial(`daemons' channels over TCP carry the bytes that were predicted: ${id}`, async t => {
    const charter = smallCharter(dataset.tasks, changes)
    const sent = await overTcp(t, charter)
    const predicted = new TrafficPlan(charter, await describe(charter, 'ada'), { codec: charter.cutCodec, sizeOf: frameBytes }).run(0)
    within(t, 'up', predicted.up, sent.up)
    within(t, 'down', predicted.down, sent.down)
  })
}

/** One client trains through a host at the other end of a real connection. */
async function overTcp (t: ExecutionContext, charter: Charter): Promise<Traffic> {
  const [near, far] = await pair(t)
  const [hosting, joining] = [near, far].map(({ components }) => createProtocols(components, { consortium: 'small', model: 'small' }))
  if (hosting === undefined || joining === undefined) throw new Error('two nodes')
  for (const protocols of [hosting, joining]) {
    await protocols.start()
    t.teardown(async () => { await protocols.stop() })
  }
  const { host } = makeHost(backend, charter, { id: near.id })
  const { client, request } = makeClient(backend, charter, clientData(THREE[0] as typeof THREE[number]))
  const own = { ...request, client: far.id }
  await hosting.serve({ admit: async asked => host.admit(asked), onChannel: (session, channel) => { void host.serve(session.request, channel) } })
  host.start()
  const admission = await joining.attach(near.id, own)
  const channel: FrameChannel = await joining.openChannel(near.id, admission, { codec: charter.cutCodec })
  await client.run(channel, admission.step)
  await host.stop()
  return { up: channel.bytes.sent, down: channel.bytes.received }
}

test.serial('a step as it is predicted is the frames of a step, to the byte of the header', async t => {
  const charter = smallCharter(dataset.tasks)
  const frames: Frame[] = []
  const to = makeHost(backend, charter)
  const from = makeClient(backend, charter, await dataset.client('ada'))
  to.host.start()
  await attach(to, from, charter, frame => { frames.push(frame) }).ran
  const step = frames.filter(({ kind, step }) => step === 3 && (kind === 'forward' || kind === 'grads'))
  const codecs: readonly CodecName[] = ['f32', 'f16', 'bf16', 'int8']
  for (const codec of codecs) {
    const predicted = new TrafficPlan(charter, from.trainer.describe(), { codec, sizeOf: frameBytes }).step().up
    const carried = step.reduce((sum, frame) => sum + frameBytes(frame, codec), 0)
    t.true(Math.abs(predicted - carried) <= 4 * step.length, `${codec}: ${predicted} predicted, ${carried} carried`) // padding of a longer step number
  }
})

test('a size is that of the encoded message, and a message that is too large has one too', t => {
  const tensor = (name: string, size: number): Frame['tensors'][number] => ({ name, tensor: { shape: [size], data: new Float32Array(size) } })
  for (const codec of ['f32', 'f16', 'int8'] as const) {
    const frame: Frame = { kind: 'step', step: 70_000, tensors: [tensor('trunk', 1001), tensor('head/side', 3)], code: 'change', codec }
    const bytes = encodeFrame(frame, 'f32', compression).reduce((sum, part) => sum + part.byteLength, 0)
    t.is(frameBytes(frame, 'f32'), prefixBytes(bytes) + bytes)
  }
  const shape = [MAX_FRAME_BYTES]
  const bytes = frameBytes({ kind: 'step', step: 1, tensors: [{ name: 'trunk', tensor: { shape, data: new Float32Array(0) } }] }, 'f32')
  t.true(bytes > 4 * MAX_FRAME_BYTES && bytes < 4 * MAX_FRAME_BYTES + 64)
})

test('floats are counted by part', t => {
  const charter = smallCharter(dataset.tasks)
  const host = new HostTrainer(backend, charter)
  const floats = modelFloats(charter, ['side', 'level'])
  t.is(floats.trunk, host.unitSizes().trunk as number)
  host.dispose()
  t.deepEqual(Object.keys(floats.parts), ['embed/image', 'head/level', 'head/side'])
  t.is(floats.parts['embed/image'], 16 * 8 + 8 + 4 * 8) // weight, bias, positions of four tokens
})

for (const { id, changes } of [{ id: 'a trunk', changes: {} }, { id: 'int8', changes: { merge: { codec: 'int8' } } }, { id: 'whole models', changes: whole('fedavg') }] as const) {
  test(`what a host publishes of a round is as large as it was predicted: ${id}`, t => {
    const charter = smallCharter(dataset.tasks, changes)
    const host = new HostTrainer(backend, charter)
    const { packed, exact } = gossipBytes(charter, 1)
    t.is(packed, compression.packUnits(moved(host.delta().units), charter.merge.codec).length)
    t.is(exact, 4 * Object.values(host.unitSizes()).reduce((sum, size) => sum + size, 0))
    host.dispose()
    t.deepEqual(gossipBytes(charter, 0), { packed: 0, exact: 0 })
    t.deepEqual(gossipBytes({ ...charter, merge: { ...charter.merge, mode: 'none' } }, 1), { packed: 0, exact: 0 })
  })
}

/** What has not moved would be left out. */
function moved (units: Readonly<Record<string, Float32Array>>): Record<string, Float32Array> {
  return Object.fromEntries(Object.entries(units).map(([name, data]) => [name, data.map(value => value + 1)]))
}
