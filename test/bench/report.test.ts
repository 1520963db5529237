import test from 'ava'
import { CLASSES, KIND, peerCharter, peerSites } from '../helpers/peer-sites.ts'
import { PeerTrainer } from '../../src/bench/peer-trainer.ts'
import { backendOn } from '../helpers/rungs.ts'
import { pickRows } from '../../src/data/pool.ts'
import { weightsHash } from '../../src/bench/card.ts'
import type { ClientData, Rows } from '../../src/data/dataset.ts'
import type { LabelScopes } from '../../src/training/label-scopes.ts'

const backend = await backendOn('wasm')
const dataset = peerSites({ seed: 5, alpha: 100, sites: 2, rows: [120, 60, 120] })
const charter = peerCharter([KIND], 5, { training: { rounds: 3 } })

/** Rows of these labels alone. */
function only (rows: Rows, labels: readonly number[]): Rows {
  return pickRows(rows, [...rows.y.kind?.keys() ?? []].filter(row => labels.includes(rows.y.kind?.[row] as number)))
}

test('a site that knows some of the labels is scored among these, and among all with rows of all', async t => {
  const [one, two] = await Promise.all(dataset.clientIds.map(async id => await dataset.client(id))) as [ClientData, ClientData]
  const known = (data: ClientData, labels: readonly number[]): ClientData => ({ ...data, train: only(data.train, labels), holdout: only(data.holdout, labels), test: only(data.test, labels), all: data.test })
  const ada = new PeerTrainer(backend, charter, known(one, [0, 1, 2]), { peer: 'ada' })
  const ben = new PeerTrainer(backend, charter, known(two, [3, 4, 5]), { peer: 'ben' })
  t.teardown(() => { [ada, ben].forEach(trainer => { trainer.dispose() }) })
  await Promise.all([ada.step(60), ben.step(60)])
  for (const { card, weights } of await ben.publish()) await ada.consider({ ...card, sha256: weightsHash(weights) }, weights)
  await ada.publish()
  await ada.select()
  const { tasks: [task] } = await ada.report()
  const { own, all } = task?.scopes as LabelScopes
  t.deepEqual([own.classes, all.classes], [3, CLASSES])
  t.is(all.served, 'wholeBench')
  const value = (of: LabelScopes['own'], candidate: string): number => of.scores[candidate]?.value as number
  t.is(value(own, 'served'), value(own, own.served))
  t.true(value(own, 'local') >= (task?.scores.local?.value as number), 'fewer wrong answers to choose from')
  t.true(value(own, 'local') > 0.7)
  // Its own models never heard of the other three labels; the bench has models that know nothing else.
  t.true(value(all, 'local') < 0.55)
  t.true(value(all, 'wholeBench') > value(all, 'local'))
  const whole = new PeerTrainer(backend, charter, one, { peer: 'cay' })
  t.teardown(() => { whole.dispose() })
  await whole.step(20)
  await whole.publish()
  t.is((await whole.report()).tasks[0]?.scopes, undefined)
})
