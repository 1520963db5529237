import { readFileSync } from 'node:fs'
import { fc, testProp } from '@fast-check/ava'
import test from 'ava'
import { openDataset } from '../../src/data/open.ts'
import { scene, sceneDomain } from '../../src/data/scenes.ts'
import { InvalidParametersError } from '../../src/errors.ts'
import { Random, mix } from '../../src/random.ts'
import { createTask } from '../../src/tasks/index.ts'
import { elements } from '../../src/tensor/tensor.ts'
import type { ExecutionContext } from 'ava'

interface Golden {
  mix: Array<{ args: [number, number, number, number], value: number }>
  draws: Array<{ state: number, first5: number[] }>
  client_params: Array<{ seed: number, client: number, shift: number } & Record<string, number | number[]>>
  scenes: Array<{
    seed: number
    client: number
    index: number
    shift: number
    size: number
    seg_histogram: number[]
    edge_pixels: number
    depth_mean: number
    normal_mean: number[]
    cls: number
    count: number
    orient: number[]
    light: number[]
    image_channel_mean: number[]
    image_first_row_first_6_bytes: number[]
    seg_row_16: number[]
  }>
}

const golden = JSON.parse(readFileSync(new URL('../vectors/scenes/golden.json', import.meta.url), 'utf8')) as Golden

/** The vectors' own tolerance for floats. */
const TOLERANCE = 1e-5

function near (t: ExecutionContext, actual: number, want: number, what: string, tolerance = TOLERANCE): void {
  t.true(Math.abs(actual - want) <= tolerance, `${what}: ${actual}, not ${want}`)
}

for (const { args, value } of golden.mix) {
  test(`golden: mix(${args.join(', ')})`, (t) => t.is(mix(...args), value))
}

for (const { state, first5 } of golden.draws) {
  test(`golden: the first draws of state ${state}`, (t) => {
    const random = new Random(state)
    for (const want of first5) t.is(random.next(), want)
  })
}

for (const { seed, client, shift, ...want } of golden.client_params) {
  test(`golden: the domain of client ${client} at shift ${shift}`, (t) => {
    const domain = sceneDomain(seed, client, shift) as unknown as Record<string, number | number[]>
    t.deepEqual(Object.keys(domain).sort(), Object.keys(want).sort())
    for (const [key, value] of Object.entries(want)) {
      const wanted = [value].flat()
      const actual = [domain[key] as number | number[]].flat()
      t.is(actual.length, wanted.length)
      wanted.forEach((v, i) => near(t, actual[i] as number, v, key))
    }
  })
}

for (const { seed, client, index, shift, size, ...want } of golden.scenes) {
  test(`golden: picture ${index} of client ${client}`, (t) => {
    const { image, seg, depth, normal, edge, cls, count, orient, light } = scene({ seed, client, index, shift, size })
    const pixels = size * size
    const mean = (data: ArrayLike<number>, channel: number, channels: number): number => {
      let sum = 0
      for (let i = 0; i < pixels; i++) sum += data[i * channels + channel] as number
      return sum / pixels
    }
    t.deepEqual(want.seg_histogram.map((_, c) => seg.filter((v) => v === c).length), want.seg_histogram)
    t.is(edge.filter((v) => v === 1).length, want.edge_pixels)
    t.is(cls, want.cls)
    t.is(count, want.count)
    t.deepEqual([...seg.subarray(16 * size, 17 * size)], want.seg_row_16)
    near(t, mean(depth, 0, 1), want.depth_mean, 'depth')
    for (let c = 0; c < 3; c++) {
      near(t, mean(normal, c, 3), want.normal_mean[c] as number, 'normal')
      near(t, orient[c] as number, want.orient[c] as number, 'orient')
      // one byte of 1024 may round the other way
      near(t, mean(image, c, 3), want.image_channel_mean[c] as number, 'image', 1 / pixels + 1e-4)
    }
    light.forEach((v, i) => near(t, v, want.light[i] as number, 'light'))
    want.image_first_row_first_6_bytes.forEach((v, i) => near(t, image[i] as number, v, 'byte', 1))
  })
}

test('scenes opens by name with eight cameras and the recipe\'s tasks', async (t) => {
  const data = await openDataset('scenes', { seed: 3 })
  t.deepEqual(data.tasks.map(({ id }) => id), ['seg', 'depth', 'edge', 'cls'])
  t.is(data.clientIds.length, 8)
  const { train, holdout, test: tests, tasks, input } = await data.client('camera-2')
  t.deepEqual([train.count, holdout.count, tests.count], [96, 32, 256])
  for (const rows of [train, holdout, tests]) {
    t.is(rows.x.length, rows.count * elements(input.shape))
    t.true(rows.x.every((v) => v >= -1 && v <= 1))
    for (const task of tasks) t.is(rows.y[task.id]?.length, rows.count * elements(task.positions) * task.targets)
  }
  t.true(tests.source.every((index) => index >= 2_000_000))
  t.true(train.source.every((index) => index < 1_000_000))
  t.is(await data.client('camera-2'), await data.client('camera-2'))
})

test('scenes: every one of the eight tasks is a valid task with finite labels', async (t) => {
  const all = ['seg', 'depth', 'normal', 'edge', 'cls', 'count', 'orient', 'light']
  const data = await openDataset('scenes', { seed: 1, rows: 8, tasks: all, clients: 1 })
  const { train, tasks } = await data.client('camera-0')
  t.deepEqual(tasks.map(({ id }) => id), all)
  for (const spec of tasks) {
    t.notThrows(() => createTask(spec))
    t.true(train.y[spec.id]?.every(Number.isFinite))
  }
})

test('scenes: another seed trains on other pictures and is tested on the same ones', async (t) => {
  const read = async (seed: number): Promise<Awaited<ReturnType<Awaited<ReturnType<typeof openDataset>>['client']>>> =>
    await (await openDataset('scenes', { seed, rows: 16, clients: 1, tasks: ['cls'] })).client('camera-0')
  const [a, b, again] = [await read(1), await read(2), await read(1)]
  t.deepEqual([...a.train.source].filter((i) => b.train.source.includes(i) || b.holdout.source.includes(i)), [])
  t.deepEqual(a.test.x, b.test.x)
  t.deepEqual(a.train.x, again.train.x)
  t.deepEqual(a.holdout.source, again.holdout.source)
})

test('scenes: iid clients share one domain, dirichlet and unknown clients are refused', async (t) => {
  const data = await openDataset('scenes', { seed: 1, rows: 4, clients: 2, partition: 'iid' })
  await t.notThrowsAsync(data.client('camera-1'))
  await t.throwsAsync(data.client('camera-2'), { instanceOf: InvalidParametersError, message: /camera-0, camera-1/ })
  await t.throwsAsync(openDataset('scenes', { seed: 1, partition: 'dirichlet' }), { instanceOf: InvalidParametersError })
  await t.throwsAsync(openDataset('scenes', { seed: 1, tasks: ['depht'] }), { instanceOf: InvalidParametersError, message: /depth/ })
})

testProp('scenes: a picture depends on nothing but its coordinates, and its labels agree with each other', [
  fc.record({ seed: fc.nat(), client: fc.nat(100), index: fc.nat(3_000_000), shift: fc.double({ min: 0, max: 1, noNaN: true }), size: fc.constantFrom(16, 32) })
], (t, init) => {
  const a = scene(init)
  t.deepEqual(a, scene(init))
  // A slab's height reaches .5 + .425 + .425: the nearest one has depth .25 - .5 * .55 * 1.35 = -.121, a little before the camera.
  t.true(a.depth.every((z) => z > -0.122 && z <= 1))
  for (let i = 0; i < a.normal.length; i += 3) near(t, Math.hypot(a.normal[i] as number, a.normal[i + 1] as number, a.normal[i + 2] as number), 1, 'length of a normal', 1e-4)
  t.is(a.seg.some((v) => v > 0), a.edge.some((v) => v === 1))
  near(t, Math.hypot(...a.light), 1, 'light')
}, { numRuns: 20 })
