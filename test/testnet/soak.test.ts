/** Two hundred rounds: what is built once stays, nothing piles up. */
import test from 'ava'
import { runTestnet } from '../../testnet/testnet.ts'
import type { NodeEvent } from '../../node/events.ts'

const ROUNDS = 200

test('live tensors after 200 rounds are those after two', async t => {
  const tensors: number[] = []
  let failure: NodeEvent | undefined
  const summary = await runTestnet({
    hosts: 2,
    clients: 2,
    data: 'scenes',
    rows: 8,
    tasks: ['cls'],
    strategy: 'fedbone',
    seed: 3,
    runner: 'in-process',
    backend: 'cpu',
    control: false,
    charter: {
      model: { width: 4, layers: 1, heads: 1, hidden: 4, embedder: { kind: 'patches', patch: 16 } },
      training: { rounds: ROUNDS, stepsPerRound: 1, batch: 2, warmup: 2 }
    }
  }, event => {
    if (event.type === 'gauges' && event.node === 'host-1') tensors.push(event.liveTensors)
    if (event.type === 'error') failure = event
  }, AbortSignal.timeout(100_000))
  t.is(failure, undefined)
  t.true(summary.complete, summary.missing.join('; '))
  t.is(tensors.length, ROUNDS)
  // Hosts and clients share one engine here, and whoever computes at a round's end has a few tensors more: windows, not single rounds. After the last round nobody does.
  const [early, late] = [tensors.slice(1, 21), tensors.slice(-20)]
  t.log(`${Math.min(...early)} to ${Math.max(...early)} tensors after rounds 2 to 21, ${Math.min(...late)} to ${Math.max(...late)} after the last 20 of ${ROUNDS}`)
  t.is(Math.max(...late), Math.max(...early))
})
