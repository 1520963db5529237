/** FeDEQ through the simulator: what is agreed, what stays at its site, and what it costs. */
import test from 'ava'
import { InvalidParametersError } from '../../src/errors.ts'
import { accuracyOf, runToy, tableSites } from '../helpers/table-sites.ts'
import { backendOn } from '../helpers/rungs.ts'
import { close } from '../helpers/tensors.ts'
import { fedeq } from '../../src/methods/fedeq/fedeq.ts'
import type { Frame } from '../../src/backbone/frames.ts'

const backend = await backendOn('wasm')
const ROWS = [12, 24, 36]
const CENTRES = [[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0]]
const dataset = tableSites({
  columns: 4,
  classes: 3,
  seed: 1,
  sites: ROWS.map(train => ({ labels: [0, 1, 2], rows: [train, 6, 60] })),
  draw: (label, random) => (CENTRES[label] as number[]).map(centre => centre + 0.7 * random.normal())
})
const model = { width: 8, layers: 1, hidden: 8 }

for (const mode of ['exact', 'published'] as const) {
  test.serial(`${mode}: duals stay at home and sum to 0 by rows where the rule is exact, and what is agreed is the mean`, async t => {
    const saved: Array<ReadonlyMap<string, Float32Array>> = []
    let agreed: ReadonlyMap<string, Float32Array> = new Map()
    const frames: Frame[] = []
    const before = backend.liveTensors()
    const { clients } = await runToy(backend, dataset, {
      strategy: 'fedeq',
      seed: 1,
      model,
      training: { rounds: 3, localSteps: 8, batch: 8, warmup: 2, lrLocal: 0.02 },
      method: { mode, rho: 0.1 },
      simulation: {
        onFrame: (_, frame) => { frames.push(frame) },
        onTrainers: async (at, { clients, hosts }) => {
          if (at === 'start') return
          const named = async (trainer: { save: () => Promise<ReadonlyArray<{ name: string, tensor: { data: Float32Array } }>> }): Promise<ReadonlyMap<string, Float32Array>> => new Map((await trainer.save()).map(({ name, tensor }) => [name, tensor.data]))
          for (const trainer of clients.values()) saved.push(await named(trainer))
          for (const trainer of hosts.values()) agreed = await named(trainer)
        }
      }
    })
    t.is(backend.liveTensors(), before)
    t.deepEqual([...new Set(frames.flatMap(({ tensors }) => tensors.map(({ name }) => name)))].sort(), ['embed/table', 'equilibrium'])
    for (const unit of ['embed/table', 'equilibrium']) {
      const of = (name: string): Float32Array[] => saved.map(site => site.get(name) as Float32Array)
      for (const bar of of(`bar/${unit}`)) t.deepEqual(bar, agreed.get(unit))
      const duals = of(`lam/${unit}`)
      t.true(duals.every(lam => lam.some(value => value !== 0)))
      const total = ROWS.reduce((sum, rows) => sum + rows, 0)
      const mean = (values: readonly Float32Array[]): number[] => Array.from(values[0] as Float32Array, (_, i) => values.reduce((sum, each, k) => sum + (ROWS[k] as number) / total * (each[i] as number), 0))
      const largest = Math.max(...duals.flatMap(lam => [...lam].map(Math.abs)))
      if (mode === 'exact') t.true(mean(duals).every(value => Math.abs(value) < 1e-5 * largest + 1e-7))
      close(t, `agreed ${unit}`, agreed.get(unit) ?? [], mean(of(unit)), 1e-5)
    }
    const accuracy = accuracyOf(clients)
    const [agreedPart, own] = ['agreed', 'own'].map(variant => accuracyOf(clients, variant)) as [number, number]
    t.log(`accuracy ${accuracy.toFixed(3)}, of the agreed part ${agreedPart.toFixed(3)}, of each site's own ${own.toFixed(3)}`)
    for (const { tasks: [task] } of clients) t.true([task?.scores.agreed?.value, task?.scores.own?.value].includes(task?.scores.federated?.value), 'one of the two is served')
    t.true(accuracy > 0.6) // a third by chance
  })
}

test.serial('a third or less of the bytes of four explicit layers', async t => {
  const bytes = async (strategy: string, layers: number): Promise<number> => (await runToy(backend, dataset, { strategy, seed: 1, model: { width: 16, layers, hidden: 32 }, training: { rounds: 1, localSteps: 2, batch: 4 } })).bytes.up
  const [one, explicit] = [await bytes('fedeq', 1), await bytes('fedper', 4)]
  t.log(`${one} and ${explicit} bytes`)
  t.true(3 * one <= explicit)
})

for (const options of [{ rho: 0 }, { mode: 'other' }, { personal: 1 }, { tolerance: 0 }, { forwardSteps: 0.5 }, { unknown: 1 }]) {
  test(`refused: ${JSON.stringify(options)}`, t => { t.throws(() => fedeq.options(options), { instanceOf: InvalidParametersError }) })
}

test('options filled in are left as they are', t => { t.deepEqual(fedeq.options({ ...fedeq.options({ rho: 1 }) }), fedeq.options({ rho: 1 })) })
