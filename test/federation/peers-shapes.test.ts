/**
 * The shapes of FedPAE's results at toy scale: six sites, two small architectures, 60 hold-out rows, the last two sites mean
 * other things by their labels. More seeds: test/scenarios/fedpae-toy.scenario.ts.
 */
import { backendOn } from '../helpers/rungs.ts'
import { expectShapes, peerShapes } from '../helpers/peer-shapes.ts'

const backend = await backendOn('wasm')
const alike = await peerShapes(backend, { alpha: 100, permuted: 2, seeds: [1, 3] })
const apart = await peerShapes(backend, { alpha: 0.1, permuted: 2, seeds: [1] })

expectShapes(alike, apart)
