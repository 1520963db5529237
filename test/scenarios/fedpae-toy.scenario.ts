/** FedPAE's shapes at toy scale over five seeds: test/federation/peers-shapes.test.ts has them over one or two. */
import test from 'ava'
import { backendOn } from '../helpers/rungs.ts'
import { peerShapes } from '../helpers/peer-shapes.ts'

const SEEDS = [1, 2, 3, 4, 5]
const backend = await backendOn('wasm')
const alike = await peerShapes(backend, { alpha: 100, permuted: 2, seeds: SEEDS })
const between = await peerShapes(backend, { alpha: 1, permuted: 2, seeds: SEEDS })
const apart = await peerShapes(backend, { alpha: 0.1, permuted: 2, seeds: SEEDS })

test('sites that are alike: a committee is above the site\'s own models together by a point or more, and above its best one', t => {
  t.log(alike)
  t.true(alike.committee >= alike.ownEnsemble + 0.01)
  t.true(alike.committee > alike.local)
})

test('sites that have little in common lose no more than a point', t => {
  t.log(apart)
  t.true(apart.committee >= apart.ownEnsemble - 0.01)
})

test('with sites that teach what is wrong, a committee is ten points above the whole bench, and takes hardly any of theirs', t => {
  for (const shapes of [alike, between, apart]) t.true(shapes.committee >= shapes.wholeBench + 0.1)
  t.true(alike.harmfulSeats < 0.05, `${alike.harmfulSeats}`)
})

test('the share of the site\'s own models falls as sites become alike', t => {
  t.log(between)
  t.true(alike.ownShare < between.ownShare && between.ownShare < apart.ownShare)
})
