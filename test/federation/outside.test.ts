/** Gradient rules from a strategy file in a training: in the simulator, and in a compute worker. */
import { fileURLToPath } from 'node:url'
import { join } from 'node:path'
import test from 'ava'
import { oneHost } from '../helpers/charters.ts'
import { HostTrainer } from '../../src/training/host-trainer.ts'
import { InvalidParametersError, RuleError } from '../../src/errors.ts'
import { backendOn } from '../helpers/rungs.ts'
import { folderOf } from '../helpers/files.ts'
import { openStrategy } from '../../src/strategies/outside.ts'
import { simulate } from '../../src/federation/simulator.ts'
import { settingsOf } from '../../src/strategies/index.ts'
import { smallCharter } from '../helpers/federation.ts'
import { spawnTrainer } from '../../src/compute/spawn.ts'
import { THREE, syntheticDataset } from '../helpers/synthetic.ts'
import type { Charter, CharterOptions } from '../../src/federation/charter.ts'
import type { Compute } from '../../src/compute/spawn.ts'
import type { OpenedStrategy } from '../../src/strategies/outside.ts'
import type { Remote } from '../../src/compute/remote.ts'
import type { SimulationResult } from '../../src/federation/simulator.ts'

const MEDIAN = fileURLToPath(new URL('../../examples/strategies/median-rule.ts', import.meta.url))
const dataset = syntheticDataset({ clients: THREE })
const backend = await backendOn('cpu')

function charterOf ({ strategy }: OpenedStrategy, changes: Partial<CharterOptions> = {}): Charter {
  return smallCharter(dataset.tasks, { ...settingsOf(strategy, {}, {}), ...changes })
}

async function run (opened: OpenedStrategy, changes: Partial<CharterOptions> = {}): Promise<SimulationResult> {
  const { rule } = opened
  return await simulate(oneHost({ charter: charterOf(opened, changes), dataset, backend, ...rule === undefined ? {} : { rule } }))
}

/** A strategy whose rule is this function body. */
async function writing (t: Parameters<typeof folderOf>[0], body: string): Promise<OpenedStrategy> {
  const folder = await folderOf(t, {
    'mine.js': `export const strategy = { name: 'mine', source: 'a test', kind: 'split', projection: { rule: 'own' }, merge: { mode: 'none' } }
export const rule = { name: 'own', aggregate (gradients) { ${body} } }
`
  })
  return await openStrategy(join(folder, 'mine.js'))
}

test.serial('the median of the example trains, strictly without conflict, and is another rule than the mean', async t => {
  const median = await openStrategy(MEDIAN)
  const [first, second] = [await run(median), await run(median)]
  t.deepEqual(second.fingerprints, first.fingerprints)
  t.is(first.rounds.length, 2)
  for (const { pairs, minDirectionCosine, minUpdateCosine } of first.rounds) {
    t.true(pairs > 0)
    t.true(minDirectionCosine >= -1e-6 && minUpdateCosine >= -1e-6, `${minDirectionCosine} ${minUpdateCosine}`)
  }
  const { projection } = charterOf(median)
  const mean = await simulate(oneHost({ charter: charterOf(median, { projection: { ...projection, rule: 'mean' } }), dataset, backend }))
  t.not(mean.fingerprints.host, first.fingerprints.host)
})

const WRONG = [
  { id: 'throws', body: "throw new Error('not today')", message: /mine\.js: gradient rule 'own' threw Error: not today \(line 2\)$/ },
  { id: 'gives NaN', body: 'return gradients[0].fill(NaN)', message: /mine\.js: gradient rule 'own' returned NaN as number 1 of \d+$/ },
  { id: 'never comes back', body: 'for (;;);', message: /mine\.js: gradient rule 'own' took longer than the charter's clock\.stepDeadlineMs \(300 ms\)$/ }
]
for (const { id, body, message } of WRONG) {
  test.serial(`a simulation whose rule ${id} ends with that and names the file`, async t => {
    await t.throwsAsync(run(await writing(t, body), { clock: { stepDeadlineMs: 300 } }), { instanceOf: RuleError, message })
  })
}

test.serial('without its file a charter with such a rule does not start', async t => {
  const { strategy } = await openStrategy(MEDIAN)
  await t.throwsAsync(run({ strategy }), { instanceOf: InvalidParametersError, message: /there is none here$/ })
})

const tensor = (f: (i: number) => number) => ({ shape: [3, 4, 8], data: Float32Array.from({ length: 96 }, (_, i) => f(i)) })

async function takeStep (trainer: HostTrainer | Remote<HostTrainer>): Promise<void> {
  const clients = ['ada', 'ben', 'cyd']
  for (const [i, client] of clients.entries()) {
    await trainer.forward([{ client, step: 0, activations: tensor(j => Math.sin(i + j)) }])
    await trainer.backward([{ client, step: 0, featureGrads: [{ name: 'client', tensor: tensor(j => Math.cos(3 * i + j)) }] }])
  }
  await trainer.applyStep(0, clients)
}

async function worker (opened: OpenedStrategy, changes: Partial<CharterOptions> = {}): Promise<Compute<HostTrainer>> {
  const { file } = opened
  return await spawnTrainer({ kind: 'host', charter: charterOf(opened, changes), backend: 'cpu', slots: 3, ...file === undefined ? {} : { strategyFile: file } })
}

test.serial('in a compute worker the rule gives the numbers that it gives in this thread', async t => {
  const median = await openStrategy(MEDIAN)
  const here = new HostTrainer(backend, charterOf(median), backend.memoryBytes, median.rule)
  const there = await worker(median)
  await takeStep(here)
  await takeStep(there.trainer)
  t.is(await there.trainer.fingerprint(), here.fingerprint())
  here.dispose()
  await there.stop()
})

test.serial('a rule that never comes back is ended in its worker, which answers and stops as before', async t => {
  const { trainer, stop } = await worker(await writing(t, 'for (;;);'), { clock: { stepDeadlineMs: 300 } })
  await t.throwsAsync(takeStep(trainer), { instanceOf: RuleError, code: 'ERR_RULE', message: /mine\.js: gradient rule 'own' took longer/ })
  t.is(typeof await trainer.fingerprint(), 'string')
  await stop()
})

test.serial('a worker without the file says which one it needs', async t => {
  const { strategy } = await openStrategy(MEDIAN)
  const { bringUp, stop } = await worker({ strategy })
  await t.throwsAsync(bringUp(), { instanceOf: InvalidParametersError, message: /there is none here$/ })
  await stop()
})
