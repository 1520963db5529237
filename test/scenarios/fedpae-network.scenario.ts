/** A peer that flips its labels, over the network and several seeds: test/node/peer-role.test.ts has it over one. */
import test from 'ava'
import { backendOn } from '../helpers/rungs.ts'
import { flippedCommittees } from '../helpers/flipped.ts'

test('a peer that flips every label gets into less than a twentieth of the honest committees', async t => {
  const committees = await flippedCommittees(t, await backendOn('wasm'), [1, 2, 3, 4, 5])
  const entered = committees.filter(({ flipped }) => flipped)
  t.log(`${entered.length} of ${committees.length}`, entered)
  t.is(committees.length, 25)
  t.true(entered.length < 0.05 * committees.length)
})
