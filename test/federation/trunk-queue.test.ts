import test from 'ava'
import { MAX_SHARES } from '../../src/training/memory.ts'
import { ProtocolError } from '../../src/errors.ts'
import { TrunkQueue } from '../../src/federation/trunk-queue.ts'
import type { BackwardResult, BackwardShare, ForwardShare } from '../../src/training/open-passes.ts'
import type { TensorData } from '../../src/tensor/tensor.ts'

const tensor = (rows = 2): TensorData => ({ shape: [rows, 1, 1], data: new Float32Array(rows) })
const forwardOf = (client: string, step = 0, rows = 2): ForwardShare => ({ client, step, activations: tensor(rows) })
const backwardOf = (client: string, step = 0): BackwardShare => ({ client, step, featureGrads: [{ name: 'client', tensor: tensor() }] })

/** A trainer whose passes end when the test says so. */
class SlowTrainer {
  readonly passes: string[] = []
  #end: Array<() => void> = []

  async forward (shares: readonly ForwardShare[]): Promise<readonly TensorData[]> {
    await this.#pass(`F${shares.map(({ client, step }) => `${client}${step}`).join('')}`)
    return shares.map(({ activations }) => activations)
  }

  async backward (shares: readonly BackwardShare[]): Promise<readonly BackwardResult[]> {
    await this.#pass(`B${shares.map(({ client, step }) => `${client}${step}`).join('')}`)
    return shares.map(({ client }) => client === 'x' ? { code: 'ERR_PROTOCOL', message: 'wrong names' } : { tensor: tensor() })
  }

  async #pass (name: string): Promise<void> {
    this.passes.push(name)
    await new Promise<void>(resolve => { this.#end.push(resolve) })
  }

  /** Ends passes until none begins any more. */
  async settle (): Promise<void> {
    for (let idle = 0; idle < 3;) {
      await new Promise(resolve => setImmediate(resolve))
      idle = this.#end.length === 0 ? idle + 1 : 0
      for (const end of this.#end.splice(0)) end()
    }
  }
}

test('what arrives while a pass computes shares the next one, forwards first', async t => {
  const trainer = new SlowTrainer()
  const queue = new TrunkQueue(trainer, () => true)
  const forwards = ['a', 'b', 'c'].map(async client => await queue.forward(forwardOf(client)))
  t.deepEqual(trainer.passes, ['Fa0'])
  await trainer.settle()
  await Promise.all(forwards)
  t.deepEqual(trainer.passes, ['Fa0', 'Fb0c0'])
  const backwards = ['b', 'a', 'c'].map(async client => await queue.backward(backwardOf(client)))
  await trainer.settle()
  await Promise.all(backwards)
  t.deepEqual(trainer.passes.slice(2).sort(), ['Ba0', 'Bb0c0'])
})

test('activations of another shape or step do not share a pass; the earlier step goes first', async t => {
  const trainer = new SlowTrainer()
  const queue = new TrunkQueue(trainer, () => true)
  const all = [queue.forward(forwardOf('a', 1)), queue.forward(forwardOf('b', 2)), queue.forward(forwardOf('c', 1, 3)), queue.forward(forwardOf('d', 1))]
  await trainer.settle()
  await Promise.all(all)
  t.deepEqual(trainer.passes, ['Fa1', 'Fc1', 'Fd1', 'Fb2'])
})

test('where shapes do not allow it nobody shares a pass', async t => {
  const trainer = new SlowTrainer()
  const queue = new TrunkQueue(trainer, () => false)
  const all = ['a', 'b', 'c'].map(async client => await queue.forward(forwardOf(client)))
  await trainer.settle()
  await Promise.all(all)
  t.deepEqual(trainer.passes, ['Fa0', 'Fb0', 'Fc0'])
})

test('a pass takes a bounded number of clients', async t => {
  const trainer = new SlowTrainer()
  const queue = new TrunkQueue(trainer, () => true)
  const names = Array.from({ length: 2 * MAX_SHARES + 2 }, (_, i) => String.fromCharCode(65 + i))
  const all = names.map(async client => await queue.forward(forwardOf(client)))
  await trainer.settle()
  await Promise.all(all)
  t.deepEqual(trainer.passes.map(pass => (pass.length - 1) / 2), [1, MAX_SHARES, MAX_SHARES, 1])
})

test('a missing gradient is waited for as long as the backward would take; who was missing goes alone until it is in time', async t => {
  const trainer = new SlowTrainer()
  const queue = new TrunkQueue(trainer, () => true)
  const step = async (number: number, late: boolean): Promise<void> => {
    const forwards = ['a', 'b', 's'].map(async client => await queue.forward(forwardOf(client, number)))
    await trainer.settle()
    await Promise.all(forwards)
    const inTime = [queue.backward(backwardOf('a', number)), queue.backward(backwardOf('b', number))]
    if (!late) inTime.push(queue.backward(backwardOf('s', number)))
    const all = Promise.all(inTime)
    for (let done = false; !done;) {
      await trainer.settle()
      done = await Promise.race([all.then(() => true), new Promise<boolean>(resolve => setTimeout(() => resolve(false), 5))])
    }
    if (late) {
      const slow = queue.backward(backwardOf('s', number))
      await trainer.settle()
      await slow
    }
  }
  await step(0, true)
  t.deepEqual(trainer.passes.splice(0), ['Fa0', 'Fb0s0', 'Ba0', 'Bb0', 'Bs0'])
  await step(1, false)
  t.deepEqual(trainer.passes.splice(0), ['Fa1', 'Fb1', 'Fs1', 'Ba1', 'Bb1', 'Bs1'])
  await step(2, false)
  t.deepEqual(trainer.passes.splice(0), ['Fa2', 'Fb2s2', 'Ba2', 'Bb2s2'])
})

test('nobody waits for a client that left, nor past the end of a step', async t => {
  const trainer = new SlowTrainer()
  const queue = new TrunkQueue(trainer, () => true)
  const first = queue.forward(forwardOf('z'))
  const forwards = ['a', 'b'].map(async client => await queue.forward(forwardOf(client)))
  await trainer.settle()
  await Promise.all([first, ...forwards])
  const waiting = queue.backward(backwardOf('a'))
  queue.drop('b')
  await trainer.settle()
  await waiting
  t.deepEqual(trainer.passes.slice(2), ['Ba0'])
  queue.close(0)
  await t.throwsAsync(queue.backward(backwardOf('z')), { instanceOf: ProtocolError, code: 'ERR_LATE' })
})

test('a client that sends its activations again is answered from its new pass, and its old one waits for it no more', async t => {
  const trainer = new SlowTrainer()
  const queue = new TrunkQueue(trainer, () => true)
  const pass = async (...clients: string[]): Promise<void> => {
    const forwards = clients.map(async client => await queue.forward(forwardOf(client)))
    await trainer.settle()
    await Promise.all(forwards)
  }
  await pass('z', 'a', 'b')
  await pass('b')
  const backwards = Promise.all(['b', 'a', 'z'].map(async client => await queue.backward(backwardOf(client))))
  await trainer.settle()
  await backwards
  t.deepEqual(trainer.passes.slice(0, 3), ['Fz0', 'Fa0b0', 'Fb0'])
  t.deepEqual(trainer.passes.slice(3).sort(), ['Ba0', 'Bb0', 'Bz0'])
})

test('one client\'s wrong gradients do not end another\'s step', async t => {
  const trainer = new SlowTrainer()
  const queue = new TrunkQueue(trainer, () => true)
  const first = queue.forward(forwardOf('z'))
  const forwards = ['a', 'x'].map(async client => await queue.forward(forwardOf(client)))
  await trainer.settle()
  await Promise.all([first, ...forwards])
  const [good, bad] = [queue.backward(backwardOf('a')), queue.backward(backwardOf('x'))]
  const refused = t.throwsAsync(bad, { instanceOf: ProtocolError, message: 'wrong names' })
  await trainer.settle()
  t.truthy(await good)
  await refused
})

test('a trainer that fails fails the calls that it was asked for', async t => {
  const queue = new TrunkQueue({
    forward: async () => { throw new Error('no memory') },
    backward: async () => []
  }, () => true)
  await t.throwsAsync(queue.forward(forwardOf('a')), { message: 'no memory' })
  await t.throwsAsync(queue.forward(forwardOf('b')), { message: 'no memory' })
})
