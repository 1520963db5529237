import test from 'ava'
import { BACKWARD, EquilibriumLayer, FORWARD } from '../../src/methods/fedeq/equilibrium-layer.ts'
import { backendOn } from '../helpers/rungs.ts'
import { buildEquilibrium } from '../../src/models/equilibrium.ts'
import { close } from '../helpers/tensors.ts'
import { interpreterBackend } from '../helpers/interpreter.ts'
import { noise } from '../helpers/parts.ts'
import { parseTrainingSpec } from '../../src/training/spec.ts'
import type { Backend } from '../../src/backend/backend.ts'
import type { TensorData } from '../../src/tensor/tensor.ts'

const cell = buildEquilibrium({ width: 6, layers: 1, heads: 2, hidden: 6, attention: true })
const SHAPE = [2, 3, 6]
const injection = noise(SHAPE, 1)
const seed = noise(SHAPE, 2)
const dot = (a: ArrayLike<number>, b: ArrayLike<number>): number => Array.from(a).reduce((sum, value, i) => sum + value * (b[i] as number), 0)

function layerOn (backend: Backend, tight: boolean): EquilibriumLayer {
  return new EquilibriumLayer(backend, 'equilibrium', cell, {
    seed: 4,
    training: parseTrainingSpec({}),
    rate: 0.01,
    optimiser: 'sgd',
    forward: tight ? { ...FORWARD, ridge: 1e-10, tolerance: 1e-6, maxSteps: 200 } : FORWARD,
    backward: tight ? { ...BACKWARD, tolerance: 1e-6 } : BACKWARD
  })
}

test('the state is left as it is by one more step of the cell', async t => {
  const layer = layerOn(interpreterBackend(), false)
  const state = await layer.solve(injection)
  const next = (await layer.unit.model.infer({ state, injection })).next?.data as Float32Array
  for (let row = 0; row < 2; row++) {
    const off = state.data.subarray(row * 18, (row + 1) * 18).map((value, i) => value - (next[row * 18 + i] as number))
    t.true(Math.sqrt(dot(off, off)) < FORWARD.tolerance)
  }
})

test('implicit gradients of weights and injection are those of finite differences', async t => {
  const layer = layerOn(interpreterBackend(), true)
  const start = layer.unit.parameters.slice()
  const state = await layer.solve(injection)
  const got = await layer.pullBack(injection, state, seed)
  const loss = async (x: TensorData): Promise<number> => dot((await layer.solve(x)).data, seed.data)
  const slopes = async (length: number, at: (i: number, by: number) => Promise<number>): Promise<number[]> => {
    const found: number[] = []
    for (let i = 0; i < length; i++) found.push((await at(i, 0.004) - await at(i, -0.004)) / 0.008)
    return found
  }
  const ofWeights = await slopes(start.length, async (i, by) => {
    layer.unit.set(start.map((value, j) => j === i ? value + by : value))
    return await loss(injection)
  })
  layer.unit.set(start)
  const ofInjection = await slopes(injection.data.length, async (i, by) => await loss({ shape: SHAPE, data: injection.data.map((value, j) => j === i ? value + by : value) }))
  close(t, 'weights', got.parameters, ofWeights, 1e-3)
  close(t, 'injection', got.injection.data, ofInjection, 1e-3)
})

test('a cell that does not contract has an implicit gradient all the same', async t => {
  const layer = layerOn(interpreterBackend(), true)
  layer.unit.set(layer.unit.parameters.map(value => 3 * value))
  const state = await layer.solve(injection)
  const { injection: gradient } = await layer.pullBack(injection, state, seed)
  const along = noise(SHAPE, 9)
  const at = async (by: number): Promise<number> => dot((await layer.solve({ shape: SHAPE, data: injection.data.map((value, i) => value + by * (along.data[i] as number)) })).data, seed.data)
  const slope = (await at(0.002) - await at(-0.002)) / 0.004
  t.true(Math.abs(dot(gradient.data, along.data) - slope) < 0.02 * Math.abs(slope), `${dot(gradient.data, along.data)} for ${slope}`)
})

test.serial('on a rung that is served nothing is left behind, and the numbers are the reference\'s', async t => {
  const backend = await backendOn('wasm')
  const before = backend.liveTensors()
  const [layer, reference] = [layerOn(backend, true), layerOn(interpreterBackend(), true)]
  const [state, want] = [await layer.solve(injection), await reference.solve(injection)]
  close(t, 'state', state.data, want.data, 1e-5)
  const [got, back] = [await layer.pullBack(injection, state, seed), await reference.pullBack(injection, want, seed)]
  close(t, 'weights', got.parameters, back.parameters, 1e-4)
  close(t, 'injection', got.injection.data, back.injection.data, 1e-4)
  layer.dispose()
  t.is(backend.liveTensors(), before)
})
