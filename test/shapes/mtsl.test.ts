/**
 * The published shape of MTSL at toy scale (Zheng and Eryilmaz, arXiv 2406.00150): where sites differ, averaging their
 * weights hurts and a shared upper layer does not; where they do not, averaging helps. Ten seeds; orderings, not digits.
 * On real pictures: ./mtsl-digits.test.ts.
 */
import test from 'ava'
import { toySites, trainFedAvg, trainMtsl } from '../helpers/toy-sites.ts'
import type { ToySitesInit } from '../helpers/toy-sites.ts'

const SEEDS = Array.from({ length: 10 }, (_, seed) => seed)
const METHODS = { mtsl: trainMtsl, fedavg: trainFedAvg }

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length
const points = (share: number): string => `${(100 * share).toFixed(1)} points`

const known = new Map<string, readonly number[][]>()

/** Mean test accuracy over seeds and over the sites but the first `from`. */
function accuracy (method: keyof typeof METHODS, alpha: number, init: Partial<ToySitesInit> = {}, from = 0): number {
  const key = JSON.stringify([method, alpha, init])
  const runs = known.get(key) ?? SEEDS.map(seed => [...METHODS[method](toySites({ seed, alpha, ...init }), { seed, steps: 300 }).accuracy])
  known.set(key, runs)
  return mean(runs.map(sites => mean(sites.slice(from))))
}

test('where every site\'s inputs are turned, MTSL is 10 points above FedAvg or more', t => {
  const [mtsl, fedavg] = [accuracy('mtsl', 1), accuracy('fedavg', 1)]
  t.log(`mtsl ${mtsl.toFixed(3)}, fedavg ${fedavg.toFixed(3)}`)
  t.true(mtsl - fedavg >= 0.1, points(mtsl - fedavg))
})

test('where sites are alike, FedAvg is at most 1 point below MTSL', t => {
  const [mtsl, fedavg] = [accuracy('mtsl', 0), accuracy('fedavg', 0)]
  t.log(`mtsl ${mtsl.toFixed(3)}, fedavg ${fedavg.toFixed(3)}`)
  t.true(fedavg - mtsl >= -0.01, points(fedavg - mtsl))
})

for (const alpha of [0, 1]) {
  test(`shuffled labels at one site move the others by less than 2 points under MTSL, and by more under FedAvg: alpha ${alpha}`, t => {
    const drop = (method: keyof typeof METHODS): number => accuracy(method, alpha, {}, 1) - accuracy(method, alpha, { shuffled: 0 }, 1)
    const [mtsl, fedavg] = [drop('mtsl'), drop('fedavg')]
    t.log(`drop of the others: mtsl ${points(mtsl)}, fedavg ${points(fedavg)}`)
    t.true(Math.abs(mtsl) < 0.02, points(mtsl))
    t.true(Math.abs(fedavg) > Math.abs(mtsl), points(fedavg))
    // Alike, they lose a helper. Turned each its own way, they are rid of one who pulled elsewhere (seen: 3.6 points better).
    t.is(fedavg > 0, alpha === 0, points(fedavg))
  })
}
