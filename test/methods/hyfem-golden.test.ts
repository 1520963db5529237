/** The arithmetic of HyFEM in float64 against the reference numbers: test/vectors/hyfem. */
import { readFileSync } from 'node:fs'
import test from 'ava'
import { MatchedLayer, pullToAnchor } from '../../src/methods/hyfem/matching.ts'
import type { ExecutionContext } from 'ava'
import type { SiteLayer } from '../../src/methods/hyfem/matching.ts'

interface Layer { W: number[][], b: number[] }
interface Golden {
  views: number[][],
  block: number,
  newUnitCost: number,
  patterns: number[][],
  trueUnits: number[][]
  clients: Array<Layer & { cols: number[] }>
  globalFirstLayer: number[][],
  counts: number[][],
  localAfter: Layer[]
  lastLayer: { W: number[][][], counts: number[], globalW: number[][] }
  prox: { mu: number, value: number }
}

const golden = JSON.parse(readFileSync(new URL('../vectors/hyfem/hyfem-matching.json', import.meta.url), 'utf8')) as Golden
const WIDTH = 7
const CAPACITY = 6

function near (t: ExecutionContext, got: ArrayLike<number>, want: readonly number[], tolerance = 1e-9): void {
  t.is(got.length, want.length)
  want.forEach((value, i) => t.true(Math.abs((got[i] as number) - value) <= tolerance, `[${i}] ${got[i]} for ${value}`))
}

const layers = golden.clients.map(({ W, b, cols }): SiteLayer => ({ units: W.length, coordinates: [...cols, WIDTH - 1], values: W.flatMap((row, i) => [...row, b[i] as number]) }))

function matched (): { layer: MatchedLayer, patterns: number[][] } {
  const layer = new MatchedLayer(WIDTH, CAPACITY)
  const patterns = layers.map(site => {
    const pattern = layer.match(site, golden.newUnitCost)
    layer.add(site, pattern)
    return pattern
  })
  return { layer, patterns }
}

test('the true units are found again, and means are over the sites that have a coordinate', t => {
  const { layer, patterns } = matched()
  t.deepEqual(patterns, golden.patterns)
  t.deepEqual(patterns, golden.trueUnits)
  const units = golden.globalFirstLayer.length
  near(t, layer.means().subarray(0, units * WIDTH), golden.globalFirstLayer.flat())
  near(t, layer.counts.subarray(0, units * WIDTH), golden.counts.flat())
  t.true(layer.counts.subarray(units * WIDTH).every(count => count === 0))
})

test('a site gets its rows and columns back, and the penalty is their distance', t => {
  const { layer, patterns } = matched()
  const means = layer.means()
  patterns.forEach((pattern, k) => {
    const { coordinates } = layers[k] as SiteLayer
    const { W, b } = golden.localAfter[k] as Layer
    near(t, pattern.flatMap(g => coordinates.map(at => means[g * WIDTH + at] as number)), W.flatMap((row, i) => [...row, b[i] as number]))
  })
  const [own, back] = [golden.clients[0] as Layer, golden.localAfter[0] as Layer].map(({ W, b }) => [Float64Array.from(W.flat()), Float64Array.from(b)] as const)
  const pairs = [[own?.[0], back?.[0]], [own?.[1], back?.[1]]] as Array<[Float64Array, Float64Array]>
  near(t, [pairs.reduce((sum, [values, anchor]) => sum + pullToAnchor(new Float64Array(values.length), values, anchor, golden.prox.mu), 0)], [golden.prox.value])
  const [values, anchor] = pairs[0] as [Float64Array, Float64Array]
  const gradient = new Float64Array(values.length)
  pullToAnchor(gradient, values, anchor, golden.prox.mu)
  const slopes = [...values].map((_, i) => {
    const at = (by: number): number => pullToAnchor(new Float64Array(values.length), values.map((value, j) => j === i ? value + by : value), anchor, golden.prox.mu)
    return (at(1e-6) - at(-1e-6)) / 2e-6
  })
  near(t, gradient, slopes, 1e-6)
  pullToAnchor(gradient.fill(0), values, values, golden.prox.mu)
  t.true(gradient.every(value => value === 0))
})

test('the last layer is averaged over matched inputs', t => {
  const { W, counts, globalW } = golden.lastLayer
  const layer = new MatchedLayer(2, counts.length)
  // Here a unit is a column of the last layer: what leads from one hidden unit to both outputs.
  W.forEach((rows, k) => layer.add({ units: 3, coordinates: [0, 1], values: [0, 1, 2].flatMap(unit => rows.map(row => row[unit] as number)) }, golden.patterns[k] as number[]))
  near(t, layer.means(), counts.flatMap((_, unit) => globalW.map(row => row[unit] as number)))
  near(t, counts.map((_, unit) => layer.counts[2 * unit] as number), counts)
})

test('no more units are opened than there is room for', t => {
  const layer = new MatchedLayer(2, 3)
  const site = (values: number[]): SiteLayer => ({ units: 2, coordinates: [0, 1], values })
  layer.add(site([0, 0, 1, 1]), [0, 1])
  const pattern = layer.match(site([9, 9, 8, 8]), 0.1)
  t.is(new Set(pattern).size, 2)
  t.true(Math.max(...pattern) <= 2)
})
