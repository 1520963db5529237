/** The estimate against what the engine really holds. */
import test from 'ava'
import { forwardAlone } from '../helpers/federation.ts'
import { HostTrainer } from '../../src/training/host-trainer.ts'
import { ClientTrainer } from '../../src/training/client-trainer.ts'
import { InvalidParametersError, ResourceError } from '../../src/errors.ts'
import { KIND, peerCharter, peerSites } from '../helpers/peer-sites.ts'
import { clientData, LEVEL, MASK, PICTURES, SIDE } from '../helpers/synthetic.ts'
import { createCharter } from '../../src/federation/charter.ts'
import { createEagerBackend } from '../../src/backend/eager.ts'
import { estimateClient, estimateHost, estimatePeer, expectRoom, wholeParameters } from '../../src/training/memory.ts'
import { loadRung } from '../../src/backend/ladder.ts'
import { Random } from '../../src/random.ts'
import { simpleFloats } from '../../src/training/simple/index.ts'
import type { BenchSpec } from '../../src/bench/spec.ts'
import type { ClientData } from '../../src/data/dataset.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { TensorData } from '../../src/tensor/tensor.ts'

function charter (width: number, batch: number): Charter {
  return createCharter({
    name: 'room',
    seed: 1,
    input: PICTURES,
    tasks: [SIDE, LEVEL, MASK],
    model: { width, layers: 2, heads: 4, hidden: 2 * width, embedder: { kind: 'patches', patch: 2 } },
    training: { rounds: 2, stepsPerRound: 2, batch, warmup: 1 }
  })
}

function activations (rows: number, width: number): TensorData {
  const random = new Random(1)
  return { shape: [rows, 16, width], data: Float32Array.from({ length: rows * 16 * width }, () => random.normal()) }
}

test.serial('what a host keeps for its clients is within a third of the estimate', async t => {
  const agreed = charter(64, 24)
  const rung = await loadRung('cpu')
  const trainer = new HostTrainer(createEagerBackend(rung), agreed)
  const before = rung.tf.memory().numBytes
  for (const client of ['a', 'b', 'c', 'd']) await forwardAlone(trainer, client, 0, activations(24, 64))
  const held = (rung.tf.memory().numBytes - before) / 4
  const [one, two] = [estimateHost(agreed, 1), estimateHost(agreed, 2)]
  const gradients = 2 * 4 * (trainer.unitSizes().trunk as number)
  const estimated = two.bytes - one.bytes - gradients
  t.log(`${held} bytes a client, ${estimated} estimated`)
  t.true(held / estimated > 0.67 && held / estimated < 1.5)
  trainer.dispose()
})

test.serial('a client holds no more than its estimate, and not a small part of it', async t => {
  const agreed = charter(32, 24)
  const data = clientData({ id: 'ada', tasks: [SIDE, LEVEL, MASK] }, { rows: [48, 8, 8] })
  const rung = await loadRung('cpu')
  const before = rung.tf.memory().numBytes
  const trainer = new ClientTrainer(createEagerBackend(rung), agreed, data, { control: true })
  const activations = await trainer.forward(0)
  await trainer.backward(0, activations)
  const held = rung.tf.memory().numBytes - before
  const { bytes } = estimateClient(agreed, data, 2)
  t.log(`${held} bytes of tensors between two calls, ${bytes} estimated for everything`)
  t.true(held < bytes && held > bytes / 20)
  trainer.dispose()
})

test('the estimate grows with rows, width and clients', t => {
  const bytes = (width: number, batch: number, slots: number): number => estimateHost(charter(width, batch), slots).bytes
  const least = bytes(32, 8, 1)
  t.true(bytes(64, 8, 1) > 1.9 * least)
  t.true(bytes(32, 512, 1) > 2 * least)
  t.true(bytes(32, 8, 20) > 2 * least)
})

test('what does not fit is refused with what it needs, what there is and what to do', t => {
  const estimate = estimateHost(charter(64, 24), 3)
  t.notThrows(() => { expectRoom('a host', estimate, estimate.bytes) })
  const error = t.throws(() => { expectRoom('a host', estimate, 2 ** 20) }, { instanceOf: ResourceError, code: 'ERR_RESOURCE' })
  t.regex(error?.message ?? '', /^a host of this model needs about \d+ MiB \(.*3 clients.*\), 1 MiB may be used$/)
  t.regex(error?.next ?? '', /--memory/)
})

test('a fit of the simple model counts where it takes more than a step, and only beside a local model', t => {
  const agreed = charter(8, 24)
  const [few, many] = [48, 4000].map(rows => clientData({ id: 'ada', tasks: [SIDE, LEVEL] }, { rows: [rows, 8, 8] })) as [ClientData, ClientData]
  const dense = { ...many, tasks: [...many.tasks, MASK] }
  t.is(simpleFloats(dense), 0)
  // Entries of 64 pixels a row, 9 numbers each, and the solver beside them.
  t.true(simpleFloats(many) > 4008 * 64 * 9 && simpleFloats(few) > 56 * 64 * 9)
  t.true(estimateClient(agreed, many, 1).bytes > 4 * simpleFloats(many))
  t.true(estimateClient(agreed, many, 0).bytes < 4 * simpleFloats(many))
})

test('a site that trades models needs room for each that it trains, for those it asks peers\' in, and for the answers of a full bench', async t => {
  const rows = await peerSites({ seed: 1, alpha: 100 }).client('site-1')
  const of = (bench: Partial<BenchSpec>): number => estimatePeer(peerCharter([KIND], 1, { bench }), rows).bytes
  const one = of({ architectures: [{}] })
  const charterOfOne = peerCharter([KIND], 1)
  t.is(of({ architectures: [{}, {}] }) - one, estimateClient(charterOfOne, rows, 0).bytes + 4 * 2 * 2 * wholeParameters(charterOfOne))
  t.true(of({ architectures: [{}], cap: 64 }) > one)
  t.throws(() => estimatePeer(charter(16, 4), rows), { instanceOf: InvalidParametersError, message: /no bench section/ })
})
