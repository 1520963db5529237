/** The simulator and real daemons over TCP are the same computation: same seed, same numbers. */
import test from 'ava'
import { runTestnet } from '../../testnet/testnet.ts'
import type { NodeEvent } from '../../node/events.ts'
import type { Summary } from '../../testnet/summary.ts'
import type { TestnetOptions } from '../../testnet/plan.ts'

const split: Omit<TestnetOptions, 'runner'> = {
  hosts: 2,
  clients: 4,
  data: 'scenes',
  rows: 24,
  strategy: 'fedbone',
  seed: 11,
  backend: 'wasm',
  control: false,
  charter: {
    model: { width: 16, layers: 1, heads: 2, hidden: 16, embedder: { kind: 'patches', patch: 8 } },
    training: { rounds: 2, stepsPerRound: 4, batch: 8, warmup: 2 },
    merge: { mode: 'all' }
  }
}

/** Whole models at the clients, changes rounded on their way. */
const whole: Omit<TestnetOptions, 'runner'> = {
  ...split,
  strategy: 'fedavg',
  charter: { ...split.charter, training: { rounds: 3, stepsPerRound: 1, localSteps: 3, batch: 8, warmup: 2 }, cutCodec: 'int8' }
}

/** A model of its own at every site, normalisations that stay there, and steps as the papers have them. */
const personal: Omit<TestnetOptions, 'runner'> = {
  ...whole,
  strategy: 'ditto',
  charter: { ...whole.charter, model: { ...split.charter?.model, privateNorms: true }, training: { ...whole.charter?.training, optimiser: 'sgd', lrLocal: 0.05 }, cutCodec: 'f32' }
}

/** Rounds of one step, whose deltas hosts project as they project gradients, and look at what they agreed on before. */
const twoLevels: Omit<TestnetOptions, 'runner'> = {
  ...split,
  charter: { ...split.charter, training: { rounds: 6, stepsPerRound: 1, batch: 8, warmup: 2 }, projection: { rule: 'cagrad', options: { c: 0.4 } }, merge: { mode: 'all', rule: 'gp' } }
}
/** No common model: an anchor for every site, rounded on its way. */
const own: Omit<TestnetOptions, 'runner'> = { ...whole, strategy: 'fedamp', charter: { ...whole.charter, merge: { mode: 'none' } } }

async function run (options: Omit<TestnetOptions, 'runner'>, runner: TestnetOptions['runner']): Promise<{ summary: Summary, events: NodeEvent[] }> {
  const events: NodeEvent[] = []
  const summary = await runTestnet({ ...options, runner }, event => { events.push(event) }, AbortSignal.timeout(100_000))
  return { summary, events }
}

for (const [title, options] of [['fedbone', split], ['fedavg', whole], ['ditto', personal], ['fedamp', own], ['fedbone, and gp between hosts', twoLevels]] as const) {
  test.serial(`daemons over TCP and the simulator end with the same metrics and the same conflict report: ${title}`, async t => {
    const simulated = await run(options, 'in-process')
    const networked = await run(options, 'process')
    t.true(simulated.summary.complete, simulated.summary.missing.join('; '))
    t.true(networked.summary.complete, networked.summary.missing.join('; '))
    const metrics = ({ tasks }: Summary): Array<[string, number[]]> => tasks
      .map(({ client, id, local, federated, ensemble, served }): [string, number[]] => [`${client} ${id}`, [local, federated, ensemble, served].map(Number)])
      .sort(([a], [b]) => a < b ? -1 : 1)
    const [want, got] = [metrics(simulated.summary), metrics(networked.summary)]
    t.deepEqual(got.map(([name]) => name), want.map(([name]) => name))
    for (const [i, [name, values]] of want.entries()) {
      values.forEach((value, j) => { t.true(Math.abs(value - (got[i]?.[1][j] ?? Number.NaN)) <= 1e-6, `${name}: ${value} simulated, ${got[i]?.[1][j]} over TCP`) })
    }
    const conflicts = ({ rounds }: Summary): unknown[] => rounds
      .map(({ host, round, pairs, conflictPairs, meanCosine, minCosine, minDirectionCosine, minUpdateCosine, removedShare, merged, between, contributors }) =>
        ({ host, round, pairs, conflictPairs, meanCosine, minCosine, minDirectionCosine, minUpdateCosine, removedShare, merged, between, contributors }))
      .sort((a, b) => a.round - b.round || (a.host < b.host ? -1 : 1))
    t.deepEqual(conflicts(networked.summary), conflicts(simulated.summary))
    t.true(networked.summary.rounds.every(({ between }) => between?.hosts === (options === own ? undefined : 2)))
    t.is(networked.summary.rounds.length, options.hosts * Number(options.charter?.training?.rounds))
  })
}
