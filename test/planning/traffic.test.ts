import test from 'ava'
import { ClientTrainer } from '../../src/training/client-trainer.ts'
import { HostTrainer } from '../../src/training/host-trainer.ts'
import { TrafficPlan, modelFloats, payloadBytes, wholeModelTraffic } from '../../src/planning/index.ts'
import { createProtocols } from '../../protocols/index.ts'
import { frameBytes } from '../../protocols/split-step/index.ts'
import { simulate } from '../../src/federation/simulator.ts'
import { attach, makeClient, makeHost, smallCharter } from '../helpers/federation.ts'
import { backendOn } from '../helpers/rungs.ts'
import { pair } from '../protocols/nodes.ts'
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

const RUNS: Array<{ id: string, hosts: number, changes: Partial<CharterOptions> }> = [
  { id: 'f32', hosts: 1, changes: {} },
  { id: 'int8', hosts: 1, changes: { cutCodec: 'int8' } },
  { id: 'bf16, two hosts that ask their clients', hosts: 2, changes: { cutCodec: 'bf16' } },
  { id: 'int8, gradients per task', hosts: 1, changes: { cutCodec: 'int8', projection: { unit: 'task' } } },
  { id: 'int8, shared embedder and head, two hosts', hosts: 2, changes: { cutCodec: 'int8', model: { sharedEmbedder: true, sharedHeads: ['level'] } } }
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

for (const cutCodec of ['f32', 'int8'] as const) {
  test.serial(`daemons' channels over TCP carry the bytes that were predicted: ${cutCodec}`, async t => {
    const charter = smallCharter(dataset.tasks, { cutCodec })
    const sent = await overTcp(t, charter)
    const predicted = new TrafficPlan(charter, await describe(charter, 'ada'), { codec: cutCodec, sizeOf: frameBytes }).run(0)
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

test('whole-model traffic counts every parameter that a site trains, each way', t => {
  const charter = smallCharter(dataset.tasks)
  const host = new HostTrainer(backend, charter)
  const floats = modelFloats(charter, ['side', 'level'])
  t.is(floats.trunk, host.unitSizes().trunk as number)
  host.dispose()
  t.deepEqual(Object.keys(floats.parts), ['embed/image', 'head/level', 'head/side'])
  t.is(floats.parts['embed/image'], 16 * 8 + 8 + 4 * 8) // weight, bias, positions of four tokens
  const total = floats.trunk + Object.values(floats.parts).reduce((sum, size) => sum + size, 0)
  t.deepEqual(wholeModelTraffic(floats), { up: 4 * total, down: 4 * total })
})
