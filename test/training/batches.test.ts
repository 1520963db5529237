import test from 'ava'
import { drawBatch } from '../../src/training/batches.ts'
import { pickRows } from '../../src/data/pool.ts'
import { PICTURES, MASK, SIDE, clientData } from '../helpers/synthetic.ts'
import type { Rows } from '../../src/data/dataset.ts'

const { train } = clientData({ id: 'ada', tasks: [SIDE, MASK] })
const draw = (step: number, changes: Partial<{ size: number, seed: number, shift: number }> = {}) =>
  drawBatch(train, PICTURES, { size: 5, seed: 3, step, shift: 0, ...changes })

function rowOf (rows: Rows, picture: Float32Array): number {
  for (let row = 0; row < rows.count; row++) {
    if (picture.every((value, i) => value === rows.x[row * 64 + i])) return row
  }
  return -1
}

test('one seed and step give the same rows, another step or seed gives others', t => {
  t.deepEqual(draw(4), draw(4))
  t.notDeepEqual(draw(4).x, draw(5).x)
  t.notDeepEqual(draw(4).x, draw(4, { seed: 4 }).x)
})

test('a batch has each row once, with its own labels', t => {
  for (let step = 0; step < 20; step++) {
    const batch = draw(step)
    const rows = Array.from({ length: batch.count }, (_, i) => rowOf(train, batch.x.subarray(i * 64, (i + 1) * 64)))
    t.is(new Set(rows).size, 5)
    t.false(rows.includes(-1))
    rows.forEach((row, i) => {
      t.is(batch.y.side?.[i], train.y.side?.[row])
      t.deepEqual(batch.y.mask?.slice(i * 64, (i + 1) * 64), train.y.mask?.slice(row * 64, (row + 1) * 64))
    })
  }
})

test('every row is drawn about as often as the others', t => {
  const times = new Array<number>(train.count).fill(0)
  for (let step = 0; step < 480; step++) {
    const { x } = draw(step)
    for (let i = 0; i < 5; i++) times[rowOf(train, x.subarray(i * 64, (i + 1) * 64))]!++
  }
  // 200 expected of each of twelve, deviation below 11
  t.true(Math.min(...times) > 150 && Math.max(...times) < 250, times.join())
})

test('a batch larger than the data is all of it', t => {
  const batch = draw(0, { size: 500 })
  t.is(batch.count, train.count)
  t.is(batch.x.length, train.x.length)
})

test('a shift keeps shape and labels, moves pictures by at most its reach, and leaves the rows alone', t => {
  const before = train.x.slice()
  const [still, moved] = [draw(2), draw(2, { shift: 2 })]
  t.is(moved.x.length, still.x.length)
  t.deepEqual(moved.y.side, still.y.side)
  t.notDeepEqual(moved.x, still.x)
  t.deepEqual(train.x, before)
  for (let i = 0; i < 5; i++) {
    const [from, to] = [still.x.subarray(i * 64, (i + 1) * 64), moved.x.subarray(i * 64, (i + 1) * 64)]
    const fits = [-2, -1, 0, 1, 2].some(dy => [-2, -1, 0, 1, 2].some(dx => to.every((value, at) => {
      const clamp = (v: number): number => Math.max(0, Math.min(7, v))
      return value === from[clamp(Math.floor(at / 8) + dy) * 8 + clamp(at % 8 + dx)]
    })))
    t.true(fits, `picture ${i}`)
  }
  t.deepEqual(draw(2, { shift: 2 }), moved)
})

test('a table is never shifted', t => {
  const table = { modality: 'table', shape: [64] } as const
  const drawn = drawBatch(train, table, { size: 5, seed: 3, step: 2, shift: 2 })
  t.deepEqual(drawn.x, draw(2).x)
})

test('rows are taken in the order asked for', t => {
  const batch = pickRows(train, [3, 0])
  t.deepEqual(batch.x, Float32Array.of(...train.x.subarray(192, 256), ...train.x.subarray(0, 64)))
  t.deepEqual(batch.y.side, Float32Array.of(train.y.side?.[3] as number, train.y.side?.[0] as number))
})
