/** HyFEM through the simulator: sites with some of the blocks each make one model over all of them. */
import test from 'ava'
import { InvalidParametersError } from '../../src/errors.ts'
import { blockSites } from '../helpers/block-sites.ts'
import { backendOn } from '../helpers/rungs.ts'
import { hyfem } from '../../src/methods/hyfem/hyfem.ts'
import { hybrid } from '../helpers/hybrid-sites.ts'
import { runToy } from '../helpers/table-sites.ts'

const backend = await backendOn('wasm')

test.serial('the model over all blocks is better than the best site alone, and no site is the worse for taking part', async t => {
  const before = backend.liveTensors()
  const { alone, together, whole, sent } = await hybrid(backend, { seed: 2, rounds: 8, mu: 0 })
  t.is(backend.liveTensors(), before)
  t.log(`alone ${alone.mean.toFixed(3)}, at best ${alone.best.toFixed(3)}; together ${together.mean.toFixed(3)}; over all blocks ${whole.toFixed(3)}`)
  t.deepEqual(sent.get('site-1'), ['encoder/1', 'encoder/2', 'fusion/1', 'fusion/2', 'fusion/bias', 'head/kind'])
  t.true(whole > alone.best)
  t.true(together.mean >= alone.mean - 0.02)
})

for (const options of [{ mu: -1 }, { newCost: Infinity }, { capacity: 0 }, { holds: [[]] }, { holds: [[0, 0]] }, { holds: 1 }, { blocks: 9 }, { unknown: 1 }]) {
  test(`refused: ${JSON.stringify(options)}`, t => { t.throws(() => hyfem.options(options), { instanceOf: InvalidParametersError }) })
}

test('options filled in are left as they are', t => { t.deepEqual(hyfem.options({ ...hyfem.options({ holds: [[1, 0]] }) }), hyfem.options({ holds: [[0, 1]] })) })

for (const { id, method, message } of [
  { id: 'less room than one site needs', method: { capacity: 4 }, message: /has no room for the 16 hidden units/ },
  { id: 'a block that is not there', method: { holds: [[0], [5]] }, message: /none is number 5/ }
]) {
  test(`refused: ${id}`, async t => {
    const dataset = blockSites({ seed: 1, sites: 2, rows: [8, 4, 4], weights: [1, 1, 1] })
    await t.throwsAsync(runToy(backend, dataset, { strategy: 'hyfem', seed: 1, model: { width: 4, hidden: 16 }, method: { blocks: 3, ...method } }), { instanceOf: InvalidParametersError, message })
  })
}
