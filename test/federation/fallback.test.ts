/** A rule that finds no answer of its own is counted: in the step, and in the round's report. */
import test from 'ava'
import { HostTrainer } from '../../src/training/host-trainer.ts'
import { Random } from '../../src/random.ts'
import { RoundLog } from '../../src/federation/round-log.ts'
import { backendOn } from '../helpers/rungs.ts'
import { backwardAlone, forwardAlone, smallCharter } from '../helpers/federation.ts'
import { LEVEL } from '../helpers/synthetic.ts'
import type { StepReport } from '../../src/training/host-trainer.ts'
import type { TensorData } from '../../src/tensor/tensor.ts'

const backend = await backendOn('wasm')
const SHAPE = [2, 4, 8]

function tensor (seed: number): TensorData {
  const random = new Random(seed)
  return { shape: SHAPE, data: Float32Array.from({ length: 64 }, () => random.normal()) }
}

/** Clients whose gradients come from these seeds: the same seed, the same gradient. */
async function step (rule: string, seeds: readonly number[]): Promise<StepReport> {
  const host = new HostTrainer(backend, smallCharter([LEVEL], { projection: { rule } }))
  try {
    const clients = seeds.map((_, i) => `c${i}`)
    for (const [i, client] of clients.entries()) {
      await forwardAlone(host, client, 0, tensor(seeds[i] as number))
      await backwardAlone(host, client, 0, [{ name: 'client', tensor: tensor(100 + (seeds[i] as number)) }])
    }
    return host.applyStep(0, clients)
  } finally {
    host.dispose()
  }
}

test('equal gradients leave imtl-g no direction: the step says so, one of different gradients does not, nor does another rule', async t => {
  t.is((await step('imtl-g', [1, 1])).fallback, true)
  t.false('fallback' in await step('imtl-g', [1, 2]))
  t.false('fallback' in await step('gp', [1, 1]))
})

test('a round counts the steps that fell back, and leaves the count out where there were none', async t => {
  const [fell, found] = [await step('imtl-g', [1, 1]), await step('imtl-g', [1, 2])]
  const log = new RoundLog('host')
  const end = { round: 0, merged: ['host'], reason: 'no other host', missing: [], final: false, bytes: { up: 0, down: 0 } }
  for (const report of [fell, found, fell]) log.step(report, [])
  t.is(log.close(end).fallbacks, 2)
  log.step(found, [])
  t.false('fallbacks' in log.close({ ...end, round: 1 }))
})
