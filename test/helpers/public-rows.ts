/** CoFED at toy scale: sites with 3 or 4 of six classes and few rows, and a file of unlabelled rows that all were given. */
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Random, deriveSeed } from '../../src/random.ts'
import { tableSites } from './table-sites.ts'
import type { Dataset } from '../../src/data/dataset.ts'
import type { PublicFile } from '../../src/methods/cofed/public-set.ts'

const COLUMNS = 16
const CLASSES = 6

/** Noise at which a site alone is right in some 74 of 100 rows. */
const NOISE = 1.6

export function sitesWithPublicRows (init: { readonly seed: number, readonly sites: number, readonly rows: readonly [number, number, number], readonly unlabelled: number, readonly noise?: number }): { dataset: Dataset, set: PublicFile } {
  const { seed, noise = NOISE } = init
  const random = new Random(deriveSeed(seed, 'centres'))
  const centres = Array.from({ length: CLASSES }, () => Array.from({ length: COLUMNS }, () => 0.9 * random.normal()))
  const draw = (label: number, from: Random): number[] => (centres[label] as number[]).map(centre => centre + noise * from.normal())
  const sites = Array.from({ length: init.sites }, (_, i) => ({ labels: random.permutation(CLASSES).slice(0, 3 + i % 2), rows: init.rows }))
  const numbers = Float32Array.from(Array.from({ length: init.unlabelled }, () => draw(random.int(CLASSES), random)).flat())
  return { dataset: tableSites({ columns: COLUMNS, classes: CLASSES, sites, draw, seed }), set: publicFile(numbers, init.unlabelled) }
}

export function publicFile (numbers: Float32Array, rows: number): PublicFile {
  const bytes = Buffer.alloc(4 * numbers.length)
  numbers.forEach((value, i) => { bytes.writeFloatLE(value, 4 * i) })
  const folder = mkdtempSync(join(tmpdir(), 'fmtl-public-'))
  process.once('exit', () => { rmSync(folder, { recursive: true, force: true }) })
  const file = join(folder, 'rows.f32')
  writeFileSync(file, bytes)
  return { rows, file, sha256: createHash('sha256').update(bytes).digest('hex') }
}
