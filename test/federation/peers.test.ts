/** Sites that trade models, toy scale: test/scenarios/fedpae-toy.scenario.ts has the same claims over more seeds. */
import test from 'ava'
import { KIND, peerCharter, peerSites } from '../helpers/peer-sites.ts'
import { backendOn } from '../helpers/rungs.ts'
import { findStrategy } from '../../src/strategies/index.ts'
import { runExperiment } from '../../src/federation/experiment.ts'
import { simulatePeers } from '../../src/federation/peers.ts'
import type { PeersInit, PeersResult } from '../../src/federation/peers.ts'

const backend = await backendOn('wasm')
const dataset = peerSites({ seed: 5, alpha: 1, sites: 4, rows: [40, 30, 60] })

async function run (init: Partial<PeersInit> = {}, bench = {}): Promise<PeersResult> {
  return await simulatePeers({ charter: peerCharter([KIND], 5, { training: { rounds: 2 }, bench }), dataset, backend, clients: dataset.clientIds, ...init })
}

test.serial('every site gets every model of the others once, and reports; nothing is left behind', async t => {
  const before = backend.liveTensors()
  const ready: string[] = []
  const { clients, arrivals, committees, bytes, rounds } = await run({ onReady: client => { ready.push(client) } })
  t.deepEqual(ready, dataset.clientIds)
  t.deepEqual(clients.map(({ client }) => client), dataset.clientIds)
  t.deepEqual(rounds, [])
  for (const client of dataset.clientIds) {
    const came = arrivals.filter(arrival => arrival.client === client)
    t.is(came.length, 6)
    t.is(new Set(came.map(({ card: { peer, modelId } }) => `${peer} ${modelId}`)).size, 6)
    t.true(came.every(({ kept }) => kept))
    t.is(committees.get(client)?.models, 8)
  }
  t.is(bytes.up, arrivals.reduce((sum, { card }) => sum + card.bytes, 0))
  t.is(bytes.down, bytes.up)
  t.is(backend.liveTensors(), before)
})

test.serial('a seed fixes everything; another one changes it', async t => {
  const [first, second] = [await run(), await run()]
  t.deepEqual(second, first)
  const other = await simulatePeers({ charter: peerCharter([KIND], 6, { training: { rounds: 2 } }), dataset, backend, clients: dataset.clientIds })
  for (const id of dataset.clientIds) t.not(other.fingerprints[id], first.fingerprints[id])
})

test.serial('who is late is taken late: nobody waits, and with more models the hold-out is served no worse', async t => {
  const { arrivals } = await run({ pace: [1, 1, 3, 3] })
  for (const client of dataset.clientIds.slice(0, 2)) {
    const came = arrivals.filter(arrival => arrival.client === client)
    const [early, late] = [came.filter(({ card }) => ['site-1', 'site-2'].includes(card.peer)), came.filter(({ card }) => ['site-3', 'site-4'].includes(card.peer))]
    t.true(early.every(({ time, chosen }) => time < 60 && chosen > 0), 'a committee serves before the late ones have trained half of their way')
    t.true(late.every(({ time }) => time >= 120))
    came.forEach(({ chosen }, i) => { t.true(i === 0 || chosen >= (came[i - 1]?.chosen as number), `${client}: ${came.map(arrival => arrival.chosen).join(', ')}`) })
  }
  const slow = arrivals.filter(({ client }) => client === 'site-4')
  t.true(slow.slice(0, 4).every(({ chosen }) => Number.isNaN(chosen) || chosen > 0), 'a site that still trains takes what comes')
})

test.serial('a bench smaller than what is offered keeps the most accurate', async t => {
  const { arrivals, committees } = await run({}, { cap: 4 })
  for (const explanation of committees.values()) t.is(explanation.models, 4)
  t.true(arrivals.some(({ kept }) => !kept))
})

test.serial('with several publications newer versions replace older ones', async t => {
  const { arrivals, committees } = await run({}, { rounds: 2 })
  t.true(arrivals.some(({ card }) => card.version === 2))
  t.true([...committees.values()].every(({ models }) => models === 8))
  const late = arrivals.filter(({ kept }) => !kept)
  t.true(late.every(({ reason }) => reason.includes('is not newer than 2')), 'one that was overtaken on its way')
})

test.serial('an experiment by the name of fedpae is such a run, with one loss per step of the clock', async t => {
  const charter = peerCharter([KIND], 5, { training: { rounds: 2 } })
  const steps: number[] = []
  const { clients, bytes } = await runExperiment(findStrategy('fedpae'), {
    charter, dataset, backend, hosts: ['host'], clients: dataset.clientIds, control: false, onStep: (_, step) => { steps.push(step) }
  })
  t.is(clients.length, 4)
  t.true(bytes.up > 0)
  t.deepEqual(steps, Array.from({ length: 40 }, (_, i) => i + 1))
})
