/** Daemons over TCP carry in every round what was planned before they started. */
import test from 'ava'
import { TrafficPlan } from '../../src/planning/index.ts'
import { describeClient } from '../../src/training/client-description.ts'
import { frameBytes } from '../../protocols/split-step/index.ts'
import { planTestnet } from '../../testnet/plan.ts'
import { runTestnet } from '../../testnet/testnet.ts'
import type { TestnetOptions } from '../../testnet/plan.ts'

const MARGIN = 0.05

function options (strategy: string, training: Record<string, number>): TestnetOptions {
  return {
    hosts: 1,
    clients: 2,
    data: 'scenes',
    rows: 24,
    spread: false,
    strategy,
    seed: 11,
    backend: 'wasm',
    control: false,
    baseline: false,
    runner: 'process',
    charter: { model: { width: 16, layers: 1, heads: 2, hidden: 16, embedder: { kind: 'patches', patch: 8 } }, training: { rounds: 3, batch: 8, warmup: 2, ...training } }
  }
}

for (const [strategy, training] of [['fedbone', { stepsPerRound: 4 }], ['fedavg', { stepsPerRound: 1, localSteps: 4 }]] as const) {
  test.serial(`daemons over TCP carry what was planned: ${strategy}`, async t => {
    const run = options(strategy, training)
    const { charter, dataset } = await planTestnet(run)
    const sites = await Promise.all(dataset.clientIds.map(async id => describeClient(charter, await dataset.client(id))))
    const planned = sites.map(site => new TrafficPlan(charter, site, { codec: charter.cutCodec, sizeOf: frameBytes }).round(0))
    const summary = await runTestnet(run, () => {}, AbortSignal.timeout(110_000))
    t.true(summary.complete, summary.missing.join('; '))
    t.is(summary.rounds.length, 3)
    // whole models begin with values that follow from the seed; a split client's first activations may come a round early
    const rounds = summary.rounds.filter(({ round }) => strategy === 'fedbone' || round > 0)
    const mean = (of: (round: typeof rounds[number]) => number): number => rounds.reduce((sum, round) => sum + of(round), 0) / rounds.length
    for (const [way, carried] of [['up', mean(round => round.bytesUp)], ['down', mean(round => round.bytesDown)]] as const) {
      const before = planned.reduce((sum, traffic) => sum + traffic[way], 0)
      t.true(carried > 0 && Math.abs(before / carried - 1) <= MARGIN, `${way}: ${before} planned, ${carried} carried`)
      t.log(`${way}: ${before} bytes a round planned, ${carried} carried`)
    }
    t.deepEqual(summary.charter, charter)
  })
}
