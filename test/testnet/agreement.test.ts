/** The simulator and real daemons over TCP are the same computation: same seed, same numbers. */
import test from 'ava'
import { expectSame, runBy, scoresOf } from '../helpers/testnets.ts'
import type { Summary } from '../../testnet/summary.ts'
import type { TestnetInit } from '../helpers/testnets.ts'

const split: TestnetInit = {
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
const whole: TestnetInit = {
  ...split,
  strategy: 'fedavg',
  charter: { ...split.charter, training: { rounds: 3, stepsPerRound: 1, localSteps: 3, batch: 8, warmup: 2 }, cutCodec: 'int8' }
}

/** A model of its own at every site, normalisations that stay there, and steps as the papers have them. */
const personal: TestnetInit = {
  ...whole,
  strategy: 'ditto',
  charter: { ...whole.charter, model: { ...split.charter?.model, privateNorms: true }, training: { ...whole.charter?.training, optimiser: 'sgd', lrLocal: 0.05 }, cutCodec: 'f32' }
}

/** Rounds of one step, whose deltas hosts project as they project gradients, and look at what they agreed on before. */
const twoLevels: TestnetInit = {
  ...split,
  charter: { ...split.charter, training: { rounds: 6, stepsPerRound: 1, batch: 8, warmup: 2 }, projection: { rule: 'cagrad', options: { c: 0.4 } }, merge: { mode: 'all', rule: 'gp' } }
}
/** No common model: an anchor for every site, rounded on its way. */
const own: TestnetInit = { ...whole, strategy: 'fedamp', charter: { ...whole.charter, merge: { mode: 'none' } } }

for (const [title, options] of [['fedbone', split], ['fedavg', whole], ['ditto', personal], ['fedamp', own], ['fedbone, and gp between hosts', twoLevels]] as const) {
  test.serial(`daemons over TCP and the simulator end with the same metrics and the same conflict report: ${title}`, async t => {
    const simulated = await runBy('in-process', options)
    const networked = await runBy('process', options)
    t.true(simulated.summary.complete, simulated.summary.missing.join('; '))
    t.true(networked.summary.complete, networked.summary.missing.join('; '))
    expectSame(t, scoresOf(simulated.summary), scoresOf(networked.summary))
    const conflicts = ({ rounds }: Summary): unknown[] => rounds
      .map(({ host, round, pairs, conflictPairs, meanCosine, minCosine, minDirectionCosine, minUpdateCosine, removedShare, merged, between, contributors }) =>
        ({ host, round, pairs, conflictPairs, meanCosine, minCosine, minDirectionCosine, minUpdateCosine, removedShare, merged, between, contributors }))
      .sort((a, b) => a.round - b.round || (a.host < b.host ? -1 : 1))
    t.deepEqual(conflicts(networked.summary), conflicts(simulated.summary))
    t.true(networked.summary.rounds.every(({ between }) => between?.hosts === (options === own ? undefined : 2)))
    t.is(networked.summary.rounds.length, options.hosts * Number(options.charter?.training?.rounds))
  })
}
