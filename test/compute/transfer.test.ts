import test from 'ava'
import { BackendError, DataError, DeadlineError, InvalidParametersError, PrivacyError, ProtocolError } from '../../src/errors.ts'
import { fromWire, toWire } from '../../src/compute/wire-error.ts'
import { queued } from '../../src/compute/remote.ts'
import { transferables } from '../../src/compute/transfer.ts'

test('buffers are moved once each, wherever they hide, and views of larger buffers stay', t => {
  const [a, b] = [new Float32Array([1, 2]), new Float32Array([3])]
  const view = new Float32Array(8).subarray(2, 4)
  const value = { tensor: { shape: [2], data: a }, list: [{ name: 'b', tensor: { shape: [1], data: b } }, { again: a }], view, none: null, text: 'x', empty: new Float32Array(0) }
  t.deepEqual(transferables(value), [a.buffer, b.buffer])
  const moved = structuredClone(value, { transfer: transferables(value) })
  t.deepEqual(moved.tensor.data, new Float32Array([1, 2]))
  t.deepEqual(moved.list[0], { name: 'b', tensor: { shape: [1], data: new Float32Array([3]) } })
  t.is(a.length, 0, 'moved, not copied')
  t.is(view.length, 2, 'copied, not moved')
  t.deepEqual(transferables(undefined), [])
})

for (const [type, error] of [
  ['DataError', new DataError('no such file', { next: 'look again' })],
  ['BackendError', new BackendError('no rung')],
  ['InvalidParametersError', new InvalidParametersError('no such flag', { next: 'see --help' })],
  ['ProtocolError', new ProtocolError('late', { code: 'ERR_LATE' })],
  ['PrivacyError', new PrivacyError('rows')],
  ['DeadlineError', new DeadlineError('silence')]
] as const) {
  test(`${type} crosses a thread with class, code, text and advice`, t => {
    const crossed = fromWire(structuredClone(toWire(error)))
    t.is(crossed.constructor, error.constructor)
    t.like(crossed, { name: type, code: error.code, message: error.message, next: error.next })
  })
}

test('a mistake of our own crosses as one, with its place', t => {
  const crossed = fromWire(structuredClone(toWire(new TypeError('x is undefined'))))
  t.is((crossed as { code?: string }).code, undefined)
  t.regex(crossed.message, /x is undefined[\s\S]*transfer\.test/)
})

test('queued calls run one after the other, and a failed one does not stop the next', async t => {
  const log: string[] = []
  const remote = queued({
    slow: async (name: string) => {
      log.push(`${name} begins`)
      await new Promise(resolve => setTimeout(resolve, 5))
      log.push(`${name} ends`)
      return name
    },
    broken: () => { throw new DataError('broken') }
  })
  const [first, failed, second] = [remote.slow('a'), remote.broken(), remote.slow('b')]
  await t.throwsAsync(failed, { instanceOf: DataError })
  t.is(await first, 'a')
  t.is(await second, 'b')
  t.deepEqual(log, ['a begins', 'a ends', 'b begins', 'b ends'])
  t.is(await Promise.resolve(remote), remote, 'no promise itself')
})
