/** FedPAE's shapes at toy scale over five seeds: test/federation/peers-shapes.test.ts has them over one or two. */
import test from 'ava'
import { backendOn } from '../helpers/rungs.ts'
import { expectShapes, peerShapes } from '../helpers/peer-shapes.ts'

const SEEDS = [1, 2, 3, 4, 5]
const backend = await backendOn('wasm')
const alike = await peerShapes(backend, { alpha: 100, permuted: 2, seeds: SEEDS })
const between = await peerShapes(backend, { alpha: 1, permuted: 2, seeds: SEEDS })
const apart = await peerShapes(backend, { alpha: 0.1, permuted: 2, seeds: SEEDS })

expectShapes(alike, apart)

test('sites between those two are between them in the share of their own models, and ten points above the whole bench as well', t => {
  t.log(between)
  t.true(between.committee >= between.wholeBench + 0.1)
  t.true(alike.ownShare < between.ownShare && between.ownShare < apart.ownShare)
})
