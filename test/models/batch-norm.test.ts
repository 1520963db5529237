/** Batch normalisation against an independent reference (test/vectors/split-mix), and on every rung that is here. */
import { readFileSync } from 'node:fs'
import test from 'ava'
import { charterBy } from '../helpers/charters.ts'
import { InvalidParametersError } from '../../src/errors.ts'
import { GraphBuilder } from '../../src/graph/graph.ts'
import { affineGraph, asAffine, foldAffine, mixed, normsOf, observedOf, overRows, pairsIn, statisticsGraph, updateStatistics } from '../../src/models/batch-norm.ts'
import { PICTURES, SIDE } from '../helpers/synthetic.ts'
import { backendIfAny } from '../helpers/rungs.ts'
import { buildTrunk, layerNorm } from '../../src/models/trunk.ts'
import { close, fromNested } from '../helpers/tensors.ts'
import { differentiate } from '../../src/graph/gradients.ts'
import { interpret } from '../helpers/interpreter.ts'
import { noise, weights } from '../helpers/parts.ts'
import { parseModelSpec } from '../../src/models/spec.ts'
import type { Graph } from '../../src/graph/graph.ts'
import type { Nested } from '../helpers/tensors.ts'

interface Set { readonly mean: number[], readonly var: number[], readonly gamma: number[], readonly beta: number[] }

interface Vectors {
  readonly x: Nested
  readonly clean: Set
  readonly adv: Set
  readonly cleanOut: Nested
  readonly advOut: Nested
  readonly mixed: Readonly<Record<string, Nested>>
  readonly cleanRunningAfterOneTrainStep: { readonly mean: number[], readonly var: number[] }
  readonly trainOut: Nested
}

const vectors = JSON.parse(readFileSync(new URL('../vectors/split-mix/dual-bn-mix.json', import.meta.url), 'utf8')) as Vectors
const ROWS = 6
const CHANNELS = 3
const graph = one()
const norms = normsOf(graph, 'trunk:')

function one (): Graph {
  const g = new GraphBuilder()
  g.output('out', layerNorm(g, g.input('in', ['B', CHANNELS]), 'trunk:norm', CHANNELS))
  return g.build()
}

function folded ({ mean, var: variance, gamma, beta }: Set): Float32Array {
  const { gain, bias } = foldAffine({ gain: Float32Array.from(gamma), bias: Float32Array.from(beta) }, { mean: Float32Array.from(mean), variance: Float32Array.from(variance) })
  return Float32Array.of(...gain, ...bias)
}

function infer (parameters: Float32Array): Float64Array {
  const { outputs } = interpret(differentiate(asAffine(graph, 'trunk:'), ['in'], { frozen: 'all' }), parameters, { in: fromNested(vectors.x) })
  return outputs.out?.data as Float64Array
}

test('a variance below 0, which others may have made it, gives numbers all the same', t => {
  const { gain, bias } = foldAffine({ gain: Float32Array.of(1, 1), bias: Float32Array.of(0, 0) }, { mean: Float32Array.of(1, 1), variance: Float32Array.of(-1, 0) })
  t.true([...gain, ...bias].every(Number.isFinite))
  t.is(gain[0], gain[1])
})

test('training standardises over the rows of the batch, and the running statistics move by a tenth', t => {
  const { clean } = vectors
  const program = differentiate(overRows(graph, 'trunk:'), [], { observed: observedOf(norms) })
  const { outputs } = interpret(program, [...clean.gamma, ...clean.beta], { in: fromNested(vectors.x) })
  close(t, 'output', outputs.out?.data ?? [], fromNested(vectors.trainOut).data, 1e-5)
  const singles = Object.fromEntries(Object.entries(outputs).map(([name, { shape, data }]) => [name, { shape, data: Float32Array.from(data) }]))
  const next = updateStatistics(norms, Float32Array.of(...clean.mean, ...clean.var), singles, ROWS)
  close(t, 'mean', next.subarray(0, CHANNELS), vectors.cleanRunningAfterOneTrainStep.mean, 1e-5)
  close(t, 'variance', next.subarray(CHANNELS), vectors.cleanRunningAfterOneTrainStep.var, 1e-5)
})

test('inference is one affine per channel, and two sets mix in between', t => {
  const [clean, adv] = [folded(vectors.clean), folded(vectors.adv)]
  close(t, 'clean', infer(clean), fromNested(vectors.cleanOut).data, 1e-5)
  close(t, 'attacked', infer(adv), fromNested(vectors.advOut).data, 1e-5)
  for (const [lambda, want] of Object.entries(vectors.mixed)) close(t, lambda, infer(mixed(clean, adv, Number(lambda))), fromNested(want).data, 1e-5)
  t.deepEqual(mixed(clean, adv, 0), clean)
  t.deepEqual(mixed(clean, adv, 1), adv)
})

test('a trunk has two normalisations per block and one at its end; both rewritings keep its parameters at their places', t => {
  const trunk = buildTrunk({ width: 8, layers: 2, heads: 2, hidden: 12, attention: true })
  const found = normsOf(trunk)
  t.deepEqual(found.map(({ name }) => name), ['block0.norm1', 'block0.norm2', 'block1.norm1', 'block1.norm2', 'norm'])
  for (const rewritten of [overRows(trunk, ''), asAffine(trunk, '')]) t.deepEqual(rewritten.parameters, trunk.parameters)
  t.is(asAffine(trunk, '').nodes.some(({ op }) => op.kind === 'standardise' || op.kind === 'inverseDeviation'), false)
  t.is(affineGraph(found).parameterCount, 2 * 5 * 8)
  t.is(statisticsGraph(found).parameterCount, 2 * 5 * 8)
  t.deepEqual(pairsIn(found, new Float32Array(80)).map(([a, b]) => [a.length, b.length]), new Array(5).fill([8, 8]))
  t.deepEqual(normsOf(trunk, 'head/'), [])
})

/** Central differences in 64-bit numbers. */
const STEP = 1e-5
const trunk = overRows(buildTrunk({ width: 4, layers: 1, heads: 2, hidden: 6, attention: true }), '')
const program = differentiate(trunk, ['activations'], { observed: observedOf(normsOf(buildTrunk({ width: 4, layers: 1, heads: 2, hidden: 6, attention: true }))) })
const input = { activations: noise([5, 3, 4], 1) }
const seed = { features: noise([5, 3, 4], 2) }

test('the gradient passes through mean and variance of the batch', t => {
  const parameters = Float64Array.from(weights(trunk))
  const direction = noise([parameters.length], 3).data
  const at = (sign: number): number => {
    const moved = parameters.map((value, i) => value + sign * STEP * (direction[i] as number))
    return (interpret(program, moved, input).outputs.features?.data ?? new Float64Array()).reduce((sum, value, i) => sum + value * (seed.features.data[i] as number), 0)
  }
  const slope = (at(1) - at(-1)) / (2 * STEP)
  const predicted = interpret(program, parameters, input, seed).parameterGradient.reduce((sum, value, i) => sum + value * (direction[i] as number), 0)
  t.true(Math.abs(slope - predicted) < 1e-6 * Math.max(1, Math.abs(slope)), `${predicted} against ${slope}`)
})

for (const rung of ['tensorflow', 'wasm', 'cpu'] as const) {
  test.serial(`${rung}: training and inference graphs are what the interpreter makes of them`, async t => {
    const backend = await backendIfAny(t, rung)
    if (backend === undefined) return
    const want = interpret(program, weights(trunk), input, seed)
    const model = backend.load(program)
    model.setParameters(weights(trunk))
    const { outputs, kept } = await model.forward(input)
    t.deepEqual(Object.keys(outputs).sort(), Object.keys(want.outputs).sort())
    for (const [name, { data }] of Object.entries(want.outputs)) close(t, name, outputs[name]?.data ?? [], data, 1e-4)
    const { parameters, inputs } = await model.backward(kept, seed)
    close(t, 'parameters', parameters, want.parameterGradient, 1e-4)
    close(t, 'input', inputs.activations?.data ?? [], want.inputGradients.activations?.data ?? [], 1e-4)
    model.dispose()
    const affine = differentiate(asAffine(buildTrunk({ width: 4, layers: 1, heads: 2, hidden: 6, attention: true }), ''), ['activations'], { frozen: 'all' })
    const frozen = backend.load(affine)
    frozen.setParameters(weights(trunk))
    const passed = await frozen.forward(input)
    const back = await frozen.backward(passed.kept, seed)
    const expected = interpret(affine, weights(trunk), input, seed)
    close(t, 'frozen input', back.inputs.activations?.data ?? [], expected.inputGradients.activations?.data ?? [], 1e-4)
    t.true(back.parameters.every(value => value === 0))
    frozen.dispose()
  })
}

test('batch normalisations are for whole models whose statistics somebody answers for; layer normalisations change nothing in a charter', t => {
  const charterOf = (strategy: string, norm: string): unknown => charterBy(strategy, { name: 'c', input: PICTURES, tasks: [SIDE], recipe: {} }, { seed: 1, model: { norm } })
  t.deepEqual(parseModelSpec({ norm: 'layer' }, PICTURES), parseModelSpec({}, PICTURES))
  t.throws(() => parseModelSpec({ norm: 'batch' }, PICTURES), { instanceOf: InvalidParametersError, message: /needs the whole model at the client/ })
  t.throws(() => parseModelSpec({ norm: 'group', trunk: 'client' }, PICTURES), { instanceOf: InvalidParametersError })
  for (const strategy of ['fedbone', 'fesem']) t.throws(() => charterOf(strategy, 'batch'), { instanceOf: InvalidParametersError }, strategy)
  for (const strategy of ['split-mix', 'fedrbn']) t.notThrows(() => charterOf(strategy, 'batch'), strategy)
})
