/** Tables of three blocks of four columns at toy scale, for methods over blocks. */
import { Random, deriveSeed } from '../../src/random.ts'
import { tableSites } from './table-sites.ts'
import type { Dataset } from '../../src/data/dataset.ts'

export const BLOCKS = 3
const SIZE = 4
const CLASSES = 4

/** @param init.weights - how much of its class a block shows; 0: it is noise */
export function blockSites (init: { readonly seed: number, readonly sites: number, readonly rows: readonly [number, number, number], readonly weights: readonly [number, number, number] }): Dataset {
  const random = new Random(deriveSeed(init.seed, 'centres'))
  const centres = Array.from({ length: CLASSES }, () => Array.from({ length: BLOCKS * SIZE }, () => 0.8 * random.normal()))
  return tableSites({
    columns: BLOCKS * SIZE,
    classes: CLASSES,
    seed: init.seed,
    sites: Array.from({ length: init.sites }, () => ({ labels: [0, 1, 2, 3], rows: init.rows })),
    draw: (label, from) => (centres[label] as number[]).map((centre, i) => (init.weights[Math.floor(i / SIZE)] as number) * centre + 1.3 * from.normal())
  })
}
