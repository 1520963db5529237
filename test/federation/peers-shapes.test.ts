/**
 * The shapes of FedPAE's results at toy scale: six sites, two small architectures, 60 hold-out rows, the last two sites mean
 * other things by their labels. More seeds: test/scenarios/fedpae-toy.scenario.ts.
 */
import test from 'ava'
import { backendOn } from '../helpers/rungs.ts'
import { peerShapes } from '../helpers/peer-shapes.ts'

const backend = await backendOn('wasm')
const alike = await peerShapes(backend, { alpha: 100, permuted: 2, seeds: [1, 3] })
const apart = await peerShapes(backend, { alpha: 0.1, permuted: 2, seeds: [1] })

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
  t.true(alike.committee >= alike.wholeBench + 0.1)
  t.true(apart.committee >= apart.wholeBench + 0.1)
  t.true(alike.harmfulSeats < 0.05, `${alike.harmfulSeats}`)
})

test('the more alike the sites, the fewer of a committee are the site\'s own', t => {
  t.true(alike.ownShare < apart.ownShare)
})
