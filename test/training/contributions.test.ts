import test from 'ava'
import { Contributions } from '../../src/training/contributions.ts'
import { ProtocolError } from '../../src/errors.ts'
import { close } from '../helpers/tensors.ts'
import type { NamedTensor } from '../../src/tensor/tensor.ts'

function changes (units: Readonly<Record<string, readonly number[]>>): NamedTensor[] {
  return Object.entries(units).map(([name, values]) => ({ name, tensor: { shape: [values.length], data: Float32Array.from(values) } }))
}

const ROWS = { a: [1, 2, 3], b: [2, 0, 1], c: [-1, 4, 5] }

// By hand: (10 (1,2,3) + 30 (2,0,1) + 60 (-1,4,5)) / 100, and so on.
for (const { id, samples, clients, want } of [
  { id: '10, 30 and 60 rows', samples: [10, 30, 60], clients: ['a', 'b', 'c'], want: [0.1, 2.6, 3.6] },
  { id: 'equal numbers of rows', samples: [7, 7, 7], clients: ['a', 'b', 'c'], want: [2 / 3, 2, 3] },
  { id: 'one client missing: only the weights change', samples: [10, 30, 60], clients: ['b', 'c'], want: [0, 8 / 3, 11 / 3] },
  { id: 'no rows at all: still finite', samples: [0, 0, 0], clients: ['a', 'b', 'c'], want: [2 / 3, 2, 3] }
]) {
  test(`the mean is weighted by rows: ${id}`, t => {
    const received = new Contributions({ trunk: 3 })
    Object.entries(ROWS).forEach(([client, trunk], i) => { received.add(client, 4, samples[i] as number, changes({ trunk })) })
    const { changes: mean, stats } = received.mean(4, clients)
    close(t, id, mean.get('trunk') as Float32Array, want, 1e-6)
    t.is(stats.rows, clients.length)
  })
}

test('a unit is averaged over those who have it, and one that nobody sent is left out', t => {
  const received = new Contributions({ trunk: 1, 'head/x': 2, 'head/y': 1 })
  received.add('a', 0, 10, changes({ trunk: [1], 'head/x': [2, 4] }))
  received.add('b', 0, 30, changes({ trunk: [5] }))
  const { changes: mean } = received.mean(0, ['b', 'a'])
  t.deepEqual([...mean].map(([name, values]) => [name, [...values]]), [['trunk', [4]], ['head/x', [2, 4]]])
})

test('the order of clients changes no bit; pairs and cosines are those of the changes', t => {
  const of = (clients: readonly string[]): ReturnType<Contributions['mean']> => {
    const received = new Contributions({ trunk: 3 })
    for (const client of clients) received.add(client, 0, 1, changes({ trunk: client === 'up' ? [0.1, 0.2, 0.3] : [-0.1, -0.2, 0.7] }))
    return received.mean(0, clients)
  }
  const [first, second] = [of(['up', 'down']), of(['down', 'up'])]
  t.deepEqual(second, first)
  const cosine = (-0.01 - 0.04 + 0.21) / Math.sqrt(0.14 * 0.54)
  t.is(first.stats.pairs, 1)
  t.true(Math.abs(first.stats.minCosine - cosine) < 1e-6)
})

for (const { id, sent } of [
  { id: 'nothing', sent: [] },
  { id: 'a unit that is not shared', sent: changes({ 'head/mine': [1] }) },
  { id: 'a unit of another size', sent: changes({ trunk: [1, 2] }) },
  { id: 'a unit twice', sent: [...changes({ trunk: [1, 2, 3] }), ...changes({ trunk: [1, 2, 3] })] },
  { id: 'NaN', sent: changes({ trunk: [1, NaN, 3] }) },
  { id: 'Infinity', sent: changes({ trunk: [1, -Infinity, 3] }) }
]) {
  test(`is refused: ${id}`, t => {
    const received = new Contributions({ trunk: 3 })
    t.throws(() => { received.add('a', 0, 1, sent) }, { instanceOf: ProtocolError })
  })
}

test('a contribution counts for its own step, and once', t => {
  const received = new Contributions({ trunk: 1 })
  received.add('a', 1, 1, changes({ trunk: [1] }))
  t.throws(() => received.mean(2, ['a']), { instanceOf: ProtocolError, code: 'ERR_LATE' })
  received.add('a', 2, 1, changes({ trunk: [1] }))
  received.mean(2, ['a'])
  t.throws(() => received.mean(2, ['a']), { code: 'ERR_LATE' })
})
