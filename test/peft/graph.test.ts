/** Trunks with adapters in them: the same trunk at the start, right gradients, and a frozen base for which nothing is computed. */
import test from 'ava'
import { InvalidParametersError } from '../../src/errors.ts'
import { backendOn } from '../helpers/rungs.ts'
import { buildTrunk } from '../../src/models/trunk.ts'
import { close } from '../helpers/tensors.ts'
import { denseLayers, targeted } from '../../src/peft/rewrite.ts'
import { differentiate } from '../../src/graph/gradients.ts'
import { factorsOf, mergeInto } from '../../src/peft/factors.ts'
import { initialise } from '../../src/models/parameters.ts'
import { interpret } from '../helpers/interpreter.ts'
import { noise, trunk, weights } from '../helpers/parts.ts'
import { withAdapters } from '../../src/peft/adapter.ts'
import { withLora } from '../../src/peft/lora.ts'
import { withPrompt } from '../../src/peft/prompt.ts'
import type { Graph } from '../../src/graph/graph.ts'
import type { Tuned } from '../../src/peft/rewrite.ts'

const TOKENS = 4
const rows = noise([3, TOKENS, 8], 1)
const seeds = { features: noise([3, TOKENS, 8], 2) }
const LORA = { layers: targeted(trunk, ['query', 'value', 'up', 'down']), rank: 2, scale: 2, own: false }

const KINDS: ReadonlyArray<{ readonly id: string, readonly tuned: Tuned, readonly atStart: boolean }> = [
  { id: 'LoRA', tuned: withLora(trunk, LORA), atStart: true },
  { id: 'LoRA with an own pair', tuned: withLora(trunk, { ...LORA, own: true }), atStart: true },
  { id: 'adapters', tuned: withAdapters(trunk, { bottleneck: 3, own: false }), atStart: true },
  { id: 'adapters with own ones', tuned: withAdapters(trunk, { bottleneck: 3, own: true }), atStart: true },
  { id: 'a prompt', tuned: withPrompt(trunk, { prompts: 2, tokens: TOKENS, width: 8, own: false }), atStart: false },
  { id: 'a prompt with an own one', tuned: withPrompt(trunk, { prompts: 2, tokens: TOKENS, width: 8, own: true }), atStart: false }
]

/** The trunk's values, then those of each adapter as the seed starts it. */
const started = (base: Float32Array, { units }: Tuned): Float32Array =>
  Float32Array.from([base, ...[...units].map(([name, graph]) => initialise(graph, 7, name))].flatMap(part => [...part]))

async function features (graph: Graph, flat: Float32Array): Promise<Float32Array> {
  const model = (await backendOn('cpu')).load(differentiate(graph, []))
  model.setParameters(flat)
  const { features } = await model.infer({ activations: rows })
  model.dispose()
  return (features as { data: Float32Array }).data
}

for (const { id, tuned, atStart } of KINDS) {
  test.serial(`${id}: the trunk's parameters come first, then the adapters' own`, t => {
    const { graph, units } = tuned
    t.deepEqual(graph.parameters.slice(0, trunk.parameters.length), trunk.parameters)
    t.is(graph.parameterCount, trunk.parameterCount + [...units.values()].reduce((sum, unit) => sum + unit.parameterCount, 0))
    t.deepEqual(graph.parameters.slice(trunk.parameters.length).map(({ name }) => name), [...units].flatMap(([unit, { parameters }]) => parameters.map(({ name }) => `${unit}:${name}`)))
  })

  test.serial(`${id}: ${atStart ? 'before anything is learnt the features are those of the trunk, bit for bit' : 'the features are of as many tokens as came, and not those of the trunk'}`, async t => {
    const base = weights(trunk)
    const [plain, got] = [await features(trunk, base), await features(tuned.graph, started(base, tuned))]
    if (atStart) t.deepEqual(got, plain)
    else {
      t.is(got.length, plain.length)
      t.notDeepEqual(got, plain)
    }
  })

  test(`${id}: gradients equal central differences, and those of the frozen trunk are zeros that nobody computed`, t => {
    const { graph } = tuned
    const frozen = new Set(trunk.parameters.map(({ name }) => name))
    const flat = Float64Array.from(weights(graph, 5))
    const [all, tuning] = [differentiate(graph, []), differentiate(graph, [], { frozen })]
    const { parameterGradient } = interpret(tuning, flat, { activations: rows }, seeds)
    t.deepEqual([...tuning.parameterGradients.keys()].sort(), graph.parameters.slice(trunk.parameters.length).map(({ name }) => name).sort())
    t.true(parameterGradient.subarray(0, trunk.parameterCount).every(value => value === 0))
    close(t, 'gradient of the adapters', parameterGradient.subarray(trunk.parameterCount), interpret(all, flat, { activations: rows }, seeds).parameterGradient.subarray(trunk.parameterCount), 1e-12)
    // The product with the transposed input that gives a weight's gradient is gone for each of the trunk's dense layers, and more.
    t.true(all.nodes.length - tuning.nodes.length >= denseLayers(trunk).size, `${tuning.nodes.length} of ${all.nodes.length} nodes`)
    const value = (at: Float64Array): number => {
      const { data } = interpret(tuning, at, { activations: rows }).outputs.features as { data: Float64Array }
      return data.reduce((sum, each, i) => sum + each * (seeds.features.data[i] as number), 0)
    }
    for (const seed of [11, 12]) {
      const direction = noise([flat.length], seed).data.map((each, i) => i < trunk.parameterCount ? 0 : each)
      const along = parameterGradient.reduce((sum, each, i) => sum + each * (direction[i] as number), 0)
      const step = 1e-5
      const moved = (by: number): Float64Array => flat.map((each, i) => each + by * (direction[i] as number))
      const difference = (value(moved(step)) - value(moved(-step))) / (2 * step)
      t.true(Math.abs(along - difference) <= 1e-6 * Math.max(1, Math.abs(difference)), `${along}, by differences ${difference}`)
    }
  })
}

test.serial('merged into the trunk, factors give the features that they gave beside it', async t => {
  const tuned = withLora(trunk, LORA)
  const flat = started(weights(trunk), tuned).map((value, i) => value + 0.05 * Math.sin(3 * i))
  const merged = flat.slice(0, trunk.parameterCount)
  let at = trunk.parameterCount
  const layers = denseLayers(trunk)
  for (const [name, { parameterCount }] of tuned.units) {
    const layer = name.split('/')[1] as string
    const size = layers.get(layer) as { inputs: number, outputs: number }
    if (name.endsWith('/b2')) {
      const a = flat.subarray(at - 2 * size.inputs, at)
      const { offset } = trunk.parameters.find(({ name }) => name === `${layer}.weight`) as { offset: number }
      mergeInto(merged.subarray(offset), factorsOf(a, flat.subarray(at, at + parameterCount), size), LORA.scale)
    }
    at += parameterCount
  }
  t.notDeepEqual(merged, flat.slice(0, trunk.parameterCount))
  close(t, 'features', await features(trunk, merged), await features(tuned.graph, flat), 1e-5)
})

test('numbers of an adapter and a prompt: 2 d b + b + d behind every block, n d', t => {
  const wide = buildTrunk({ width: 768, layers: 1, heads: 12, hidden: 768, attention: true })
  t.deepEqual([...withAdapters(wide, { bottleneck: 64, own: false }).units].map(([name, { parameterCount }]) => [name, parameterCount]), [['peft/block0/adapter', 99_136]])
  t.is([...withPrompt(wide, { prompts: 20, tokens: 4, width: 768, own: false }).units.values()][0]?.parameterCount, 15_360)
})

test('what a trunk cannot take is refused in one line', t => {
  const flat = buildTrunk({ width: 8, layers: 1, heads: 1, hidden: 12, attention: false })
  for (const build of [() => targeted(flat, ['query']), () => withPrompt(flat, { prompts: 2, tokens: 1, width: 8, own: false })]) {
    const error = t.throws(build, { instanceOf: InvalidParametersError })
    t.false(`${error?.message} ${error?.next}`.includes('\n'))
  }
})
