/** The eight real sets through their built-in manifests: counts and splits as their own pages state them. */
import { basename } from 'node:path'
import { checkDataset } from '../../src/data/check.ts'
import { openDataset } from '../../src/data/open.ts'
import { withSharedData } from '../helpers/shared-data.ts'
import type { Rows } from '../../src/data/dataset.ts'

interface Want {
  readonly set: string
  readonly input: readonly number[]
  readonly clients: number
  readonly tasks: readonly string[]
  /** Of the recipe's first client: training, hold-out, test rows. */
  readonly rows: readonly [number, number, number]
  readonly samples: number
}

const sets: readonly Want[] = [
  { set: 'digits', input: [16, 16, 1], clients: 4, tasks: ['digit', 'parity', 'ge5'], rows: [40, 10, 2000], samples: 28_205 },
  { set: 'faces', input: [32, 32, 1], clients: 5, tasks: ['pose', 'eyes'], rows: [26, 6, 24], samples: 624 },
  { set: 'wbc', input: [64, 64, 3], clients: 2, tasks: ['seg', 'cell'], rows: [15, 5, 60], samples: 400 },
  { set: 'heart', input: [25], clients: 4, tasks: ['disease', 'exang'], rows: [189, 53, 61], samples: 920 },
  { set: 'sentences', input: [32, 10], clients: 3, tasks: ['polarity'], rows: [78, 22, 200], samples: 3000 },
  { set: 'snips', input: [24, 10], clients: 7, tasks: ['intent'], rows: [78, 22, 700], samples: 7 * 800 },
  { set: 'parkinsons', input: [19], clients: 42, tasks: ['motor', 'total'], rows: [93, 26, 30], samples: 5875 },
  { set: 'occupancy', input: [30, 4], clients: 3, tasks: ['occupied'], rows: [100, 25, 1620], samples: 20_560 }
]

const count = (values: Float32Array | undefined, v: number): number => values?.filter((x) => x === v).length ?? 0
const overlap = (a: Rows, b: Rows): number => [...a.source].filter((row) => b.source.includes(row)).length

for (const { set, input, clients, tasks, rows, samples } of sets) {
  withSharedData(set, `${set}: opens by its folder's name with the recipe's rows`, async (t, folder) => {
    const data = await openDataset(folder, { seed: 7 })
    t.is(data.name, basename(folder))
    t.deepEqual([...data.input.shape], [...input])
    t.is(data.clientIds.length, clients)
    t.deepEqual(data.tasks.map(({ id }) => id), [...tasks])
    for (const [k, id] of data.clientIds.slice(0, 5).entries()) {
      const { train, holdout, test: tests } = await data.client(id)
      if (k === 0) t.deepEqual([train.count, holdout.count, tests.count], [...rows])
      t.is(overlap(train, holdout) + overlap(train, tests) + overlap(holdout, tests), 0)
      t.true(train.x.every(Number.isFinite))
    }
  })

  withSharedData(set, `${set}: every file, row and label of every task is sound`, async (t, folder) => {
    const report = await checkDataset(folder, { seed: 1 })
    t.deepEqual(report.problems, [])
    t.is(report.samples, samples)
  })
}

withSharedData('digits', 'digits: parity and ge5 follow from the digit; another seed draws other rows, the test rows stay', async (t, folder) => {
  const read = async (seed: number) => await (await openDataset(folder, { seed })).client('semeion')
  const [a, b] = [await read(1), await read(2)]
  t.deepEqual([...a.test.source], [...b.test.source])
  t.true(a.test.source.every((row) => row % 5 === 4))
  t.notDeepEqual([...a.train.source].sort(), [...b.train.source].sort())
  const { digit, parity, ge5 } = a.test.y
  digit?.forEach((d, i) => {
    t.is(parity?.[i], d % 2)
    t.is(ge5?.[i], d >= 5 ? 1 : 0)
  })
  t.true(a.train.x.every((v) => v === 0 || v === 1)) // binary scans
})

withSharedData('faces', 'faces: a site is four people with eight rows each, every picture has mean 0', async (t, folder) => {
  const data = await openDataset(folder, { seed: 3, tasks: ['pose', 'eyes', 'expression', 'person'] })
  for (const [k, id] of data.clientIds.entries()) {
    const { train, holdout, test: tests } = await data.client(id)
    const people = [...train.y.person ?? [], ...holdout.y.person ?? []]
    for (const person of [0, 5, 10, 15]) t.is(people.filter((p) => p === person + k).length, 8)
    for (const person of [0, 5, 10, 15]) t.is(count(tests.y.person, person + k), 6)
    for (let row = 0; row < train.count; row++) {
      const picture = train.x.subarray(row * 1024, (row + 1) * 1024)
      t.true(Math.abs(picture.reduce((a, b) => a + b, 0) / 1024) < 1e-5)
      // 30 rows were padded to 32 by repeating the first and the last
      t.deepEqual(picture.slice(0, 32), picture.slice(32, 64))
      t.deepEqual(picture.slice(960, 992), picture.slice(992))
    }
  }
})

withSharedData('faces', 'faces: iid and Dirichlet clients deal out all rows once', async (t, folder) => {
  for (const partition of ['iid', 'dirichlet'] as const) {
    const data = await openDataset(folder, { seed: 3, partition, clients: 6, alpha: 0.2, rows: 1000 })
    const rows: number[] = []
    for (const id of data.clientIds) {
      const { train, holdout, test: tests } = await data.client(id)
      rows.push(...train.source, ...holdout.source, ...tests.source)
    }
    t.deepEqual(rows.sort((a, b) => a - b), Array.from({ length: 624 }, (_, i) => i))
  }
})

withSharedData('wbc', 'wbc: pixel shares and laboratories are as stated', async (t, folder) => {
  const { tasks, clients } = await checkDataset(folder, { seed: 1 })
  const seg = tasks.find(({ id }) => id === 'seg')
  const share = (name: string): number => Math.round(1000 * (seg?.classes?.[name] ?? 0) / (400 * 64 * 64))
  t.deepEqual([share('background'), share('cytoplasm'), share('nucleus')], [709, 173, 119])
  t.deepEqual(clients.map(({ train, holdout, test: tests }) => [train + holdout, tests]), [[240, 60], [80, 20]])
})

withSharedData('heart', 'heart: disease counts per hospital, missing chol, tasks only where they are recorded', async (t, folder) => {
  const data = await openDataset(folder, { seed: 2, tasks: ['disease', 'severity', 'exang'] })
  const want: Record<string, number> = { cleveland: 139, hungarian: 106, switzerland: 115, va: 149 }
  const chol = data.input.columns?.indexOf('chol?') as number
  for (const id of data.clientIds) {
    const { train, holdout, test: tests, tasks } = await data.client(id)
    t.is([train, holdout, tests].reduce((n, { y }) => n + count(y.disease, 1), 0), want[id] as number)
    t.is(tasks.some((task) => task.id === 'severity'), id !== 'hungarian')
    if (id === 'switzerland') for (let i = 0; i < train.count; i++) t.is(train.x[i * 25 + chol], 1)
    const share = (rows: Rows): number => count(rows.y.disease, 1) / rows.count
    t.true(Math.abs(share(train) - share(tests)) < 0.05)
  }
})

withSharedData('snips', 'snips: the ring of seven, fifty own and fifty of the next intent, all slots tagged', async (t, folder) => {
  const data = await openDataset(folder, { seed: 5, tasks: ['intent', 'slots'] })
  t.is(data.tasks[1]?.channels, 72)
  const seen = new Set<number>()
  let rows = 0
  for (const [k, id] of data.clientIds.entries()) {
    const { train, holdout, test: tests } = await data.client(id)
    const intents = Float32Array.from([...train.y.intent ?? [], ...holdout.y.intent ?? []])
    t.deepEqual([count(intents, k), count(intents, (k + 1) % 7)], [50, 50])
    t.is(tests.count, 700)
    for (const part of [train, holdout]) {
      rows += part.count
      for (const row of part.source) seen.add(row)
      // a tag for every token that has features, none for padding
      part.y.slots?.forEach((tag, i) => t.is(tag === -1, part.x[i * 10] === -1))
    }
  }
  t.is(seen.size, rows)
})

withSharedData('parkinsons', 'parkinsons: test and hold-out are the last of each person\'s time', async (t, folder) => {
  const data = await openDataset(folder, { seed: 1 })
  const time = data.input.columns?.indexOf('test_time') as number
  for (const id of data.clientIds.slice(0, 8)) {
    const { train, holdout, test: tests } = await data.client(id)
    const times = ({ x, count: n }: Rows): number[] => Array.from({ length: n }, (_, i) => x[i * 19 + time] as number)
    t.true(Math.max(...times(train)) <= Math.min(...times(holdout)))
    t.true(Math.max(...times(holdout)) <= Math.min(...times(tests)))
  }
})

withSharedData('occupancy', 'occupancy: test rows are every fifth hour block of the file, co2 ahead is the co2 of row + 60', async (t, folder) => {
  const data = await openDataset(folder, { seed: 1, tasks: ['co2ahead'], rows: 10_000 })
  const { train, test: tests } = await data.client('window-B')
  t.true(tests.source.every((row) => row >= 8143 && row < 8143 + 2665 && Math.floor(row / 60) % 5 === 4))
  const co2 = new Map<number, number>()
  for (const { source, x } of [train, tests]) source.forEach((row, i) => co2.set(row, (x[i * 120 + 29 * 4 + 2] as number) * 311 + 691))
  let compared = 0
  train.source.forEach((row, i) => {
    const later = co2.get(row + 60)
    if (later === undefined) return
    compared++
    t.true(Math.abs(later - (train.y.co2ahead?.[i] as number)) < 0.01)
  })
  t.true(compared > 1000)
})
