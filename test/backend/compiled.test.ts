/** The compiled executor against the eager one, part by part: same numbers, same rules for handles, nothing left behind. */
import { mkdtemp, readdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { createBackend } from '../../src/backend/index.ts'
import { createCompiledBackend } from '../../src/backend/compiled/compiled.ts'
import { createEagerBackend } from '../../src/backend/eager.ts'
import { createEmbedder } from '../../src/models/embedder.ts'
import { createHead } from '../../src/models/head.ts'
import { buildTrunk } from '../../src/models/trunk.ts'
import { differentiate } from '../../src/graph/gradients.ts'
import { initialise } from '../../src/models/parameters.ts'
import { BackendError, InvalidParametersError } from '../../src/errors.ts'
import { GraphBuilder } from '../../src/graph/graph.ts'
import { loadRung } from '../../src/backend/ladder.ts'
import { Random } from '../../src/random.ts'
import { close } from '../helpers/tensors.ts'
import type { Graph } from '../../src/graph/graph.ts'
import type { Program } from '../../src/graph/gradients.ts'
import type { Rung } from '../../src/backend/ladder.ts'
import type { TensorData } from '../../src/tensor/tensor.ts'

const TOLERANCE = 1e-5

const loaded = await loadRung('tensorflow').catch((error: Error) => error)
const title = (text: string): string => loaded instanceof Error ? `${text} (skipped: ${loaded.message})` : text
const native = loaded instanceof Error ? test.skip : test.serial
const rung = loaded as Rung

const embedder = createEmbedder({ kind: 'patches', patch: 4, stride: 4, padding: 0 }, { modality: 'image', shape: [8, 8, 1] }, 8)
const classes = { id: 't', kind: 'classes', channels: 3, targets: 1, positions: [1], metric: 'accuracy' } as const
const dense = { id: 'd', kind: 'dense-classes', channels: 2, targets: 1, positions: [8, 8], metric: 'meanIoU' } as const
const trunk = buildTrunk({ width: 8, layers: 2, heads: 2, hidden: 12, attention: true })

const parts: Array<{ id: string, graph: Graph, input: string, shapes: number[][], output: string }> = [
  { id: 'trunk with attention', graph: trunk, input: 'activations', shapes: [[3, 4, 8], [5, 7, 8]], output: 'features' },
  { id: 'trunk without attention', graph: buildTrunk({ width: 8, layers: 1, heads: 1, hidden: 12, attention: false }), input: 'activations', shapes: [[3, 1, 8], [2, 5, 8]], output: 'features' },
  { id: 'pooled head with adapter', graph: createHead(classes, embedder, 8, 4).graph, input: 'features', shapes: [[3, 4, 8], [1, 4, 8]], output: 'prediction' },
  { id: 'dense head', graph: createHead(dense, embedder, 8, 0).graph, input: 'features', shapes: [[3, 4, 8], [6, 4, 8]], output: 'prediction' },
  { id: 'embedder', graph: embedder.graph, input: 'pieces', shapes: [[3, 4, 16], [2, 4, 16]], output: 'activations' },
  { id: 'one tanh layer', graph: layer(g => g.tanh(g.matMul(g.input('in', ['B', 8]), g.parameter('weight', [8, 3], { deviation: 1 })))), input: 'in', shapes: [[4, 8], [2, 8]], output: 'out' },
  { id: 'no parameters', graph: layer(g => g.tanh(g.input('in', ['B', 2]))), input: 'in', shapes: [[4, 2], [1, 2]], output: 'out' },
  { id: 'an output that is the input', graph: layer(g => { g.parameter('unused', [2], { value: 0 }); return g.input('in', ['B', 2]) }), input: 'in', shapes: [[4, 2], [1, 2]], output: 'out' }
]

function layer (build: (g: GraphBuilder) => number): Graph {
  const g = new GraphBuilder()
  g.output('out', build(g))
  return g.build()
}

function noise (shape: readonly number[], seed: number): TensorData {
  const random = new Random(seed)
  return { shape, data: Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.normal()) }
}

/** Away from zeros and ones, where mistakes hide. */
function weights (graph: Graph, seed = 3): Float32Array {
  return initialise(graph, seed, 'unit').map((value, i) => value + 0.1 * Math.sin(i))
}

for (const { id, graph, input, shapes, output } of parts) {
  native(title(`${id}: compiled equals eager, for two sizes on one model`), async t => {
    const program = differentiate(graph, [input])
    const [eager, compiled] = [createEagerBackend(rung).load(program), createCompiledBackend(rung).load(program)]
    for (const model of [eager, compiled]) model.setParameters(weights(graph))
    for (const [i, shape] of shapes.entries()) {
      const x = noise(shape, 5 + i)
      const [want, got] = [await eager.forward({ [input]: x }), await compiled.forward({ [input]: x })]
      const [wantOut, gotOut] = [want.outputs[output] as TensorData, got.outputs[output] as TensorData]
      t.deepEqual(gotOut.shape, wantOut.shape)
      close(t, output, gotOut.data, wantOut.data, TOLERANCE)
      close(t, `${output}, inferred`, ((await compiled.infer({ [input]: x }))[output] as TensorData).data, wantOut.data, TOLERANCE)
      const seeds = { [output]: noise(wantOut.shape, 9 + i) }
      const [wantGradients, gotGradients] = [await eager.backward(want.kept, seeds), await compiled.backward(got.kept, seeds)]
      close(t, 'parameter gradients', gotGradients.parameters, wantGradients.parameters, TOLERANCE)
      t.deepEqual(gotGradients.inputs[input]?.shape, wantGradients.inputs[input]?.shape)
      close(t, 'input gradient', gotGradients.inputs[input]?.data ?? [], wantGradients.inputs[input]?.data ?? [], TOLERANCE)
    }
    eager.dispose()
    compiled.dispose()
  })
}

native(title('an input that needs no gradient gets none'), async t => {
  const model = createCompiledBackend(rung).load(differentiate(embedder.graph, []))
  model.setParameters(weights(embedder.graph))
  const { outputs, kept } = await model.forward({ pieces: noise([2, 4, 16], 1) })
  const { inputs, parameters } = await model.backward(kept, outputs)
  t.deepEqual(inputs, {})
  t.is(parameters.length, embedder.graph.parameterCount)
  model.dispose()
})

native(title('a pass serves one backward, or several kept ones; wrong calls are told apart from failures'), async t => {
  const backend = createCompiledBackend(rung)
  const program = differentiate(trunk, ['activations'])
  const model = backend.load(program)
  const x = { activations: noise([2, 3, 8], 1) }
  await t.throwsAsync(model.forward(x), { instanceOf: BackendError }, 'no parameters yet')
  model.setParameters(weights(trunk))
  t.throws(() => model.setParameters(new Float32Array(3)), { instanceOf: InvalidParametersError })
  await t.throwsAsync(model.forward({}), { instanceOf: InvalidParametersError })
  await t.throwsAsync(model.forward({ activations: noise([2, 3, 9], 1) }), { instanceOf: InvalidParametersError })
  const { outputs, kept } = await model.forward(x)
  await t.throwsAsync(model.backwardKeep(kept, { features: noise([2, 4, 8], 1) }), { instanceOf: InvalidParametersError })
  const first = await model.backwardKeep(kept, outputs)
  const second = await model.backward(kept, outputs)
  t.deepEqual(second, first)
  await t.throwsAsync(model.backward(kept, outputs), { instanceOf: InvalidParametersError })
  const { kept: released } = await model.forward(x)
  released.release()
  released.release()
  await t.throwsAsync(model.backward(released, outputs), { instanceOf: InvalidParametersError })
  const other = backend.load(program)
  other.setParameters(weights(trunk))
  const { kept: foreign } = await other.forward(x)
  await t.throwsAsync(model.backward(foreign, outputs), { instanceOf: InvalidParametersError })
  for (const each of [model, other]) each.dispose()
})

native(title('two passes with different parameters stay apart, whatever is set in between'), async t => {
  const program = differentiate(trunk, ['activations'])
  const [eager, compiled] = [createEagerBackend(rung).load(program), createCompiledBackend(rung).load(program)]
  const x = { activations: noise([3, 4, 8], 1) }
  const seeds = { features: noise([3, 4, 8], 2) }
  const run = async (model: typeof eager): Promise<Float32Array[]> => {
    const flat = weights(trunk, 1)
    model.setParameters(flat)
    flat.fill(0) // the model has its own copy
    const first = await model.forward(x)
    model.setParameters(weights(trunk, 2))
    const second = await model.forward(x)
    model.setParameters(new Float32Array(trunk.parameterCount))
    const late = await model.backward(second.kept, seeds)
    const early = await model.backward(first.kept, seeds)
    model.dispose()
    return [early.parameters, late.parameters]
  }
  const [want, got] = [await run(eager), await run(compiled)]
  close(t, 'first pass', got[0] as Float32Array, want[0] as Float32Array, TOLERANCE)
  close(t, 'second pass', got[1] as Float32Array, want[1] as Float32Array, TOLERANCE)
  t.notDeepEqual(got[0], got[1])
})

native(title('tensors are flat over passes, and all gone in the end'), async t => {
  const backend = createCompiledBackend(rung)
  const before = backend.liveTensors()
  const model = backend.load(differentiate(trunk, ['activations']))
  const steady: number[] = []
  for (let pass = 0; pass < 50; pass++) {
    model.setParameters(weights(trunk, pass))
    const x = { activations: noise([1 + pass % 3, 2 + pass % 5, 8], pass) }
    const { outputs, kept } = await model.forward(x)
    await model.infer(x)
    if (pass % 4 === 0) kept.release()
    else if (pass % 4 === 1) await t.throwsAsync(model.backward(kept, {}), { instanceOf: InvalidParametersError })
    else await model.backward(kept, outputs)
    steady.push(backend.liveTensors())
  }
  t.deepEqual([...new Set(steady)], [before + 1], 'the parameters')
  model.dispose()
  model.dispose()
  t.is(backend.liveTensors(), before)
})

/** The binding's own count; a session that is not closed keeps its memory for good. */
function sessions (): number {
  return (rung.tf.backend() as unknown as { getNumOfSavedModels: () => number }).getNumOfSavedModels()
}

native(title('models of equal structure share one graph until the last of them goes'), async t => {
  const before = sessions()
  const backend = createCompiledBackend(rung)
  const program = differentiate(trunk, ['activations'])
  const [a, b, other] = [backend.load(program), backend.load(differentiate(trunk, ['activations'])), backend.load(differentiate(trunk, []))]
  t.is(sessions(), before + 2)
  a.dispose()
  b.setParameters(weights(trunk))
  await b.infer({ activations: noise([2, 3, 8], 1) })
  b.dispose()
  other.dispose()
  t.is(sessions(), before)
})

/** TensorFlow checks ranks when it loads a graph; the eager executor when it computes. */
function broken (): Program {
  const program = differentiate(embedder.graph, [])
  const nodes = program.nodes.map(node => node.op.kind === 'matMul' ? { ...node, inputs: [0, 0] } : node)
  return { ...program, nodes }
}

native(title('no folder is left behind, by a graph that loads or by one that does not'), async t => {
  const folder = await mkdtemp(join(tmpdir(), 'fmtl-test-'))
  const usual = process.env.TMPDIR
  process.env.TMPDIR = folder
  t.teardown(() => { if (usual === undefined) delete process.env.TMPDIR; else process.env.TMPDIR = usual })
  const backend = createCompiledBackend(rung)
  backend.load(differentiate(trunk, [])).dispose()
  t.throws(() => backend.load(broken()), { instanceOf: BackendError, message: /^the model does not compile: [^\n]+$/ })
  t.deepEqual(await readdir(folder), [])
})

native(title('a program that does not compile runs eagerly, and one line says so'), async t => {
  const falls: string[] = []
  const backend = createBackend(rung, { executor: 'compiled', onFall: line => falls.push(line) })
  const models = [broken(), broken(), differentiate(trunk, [])].map(program => backend.load(program))
  t.is(falls.length, 1)
  t.regex(falls[0] ?? '', /^the model does not compile: [^\n]+; it runs operation by operation instead$/)
  const working = models.at(-1) as typeof models[number]
  working.setParameters(weights(trunk))
  t.deepEqual((await working.infer({ activations: noise([2, 3, 8], 1) })).features?.shape, [2, 3, 8])
  for (const model of models) model.dispose()
})

native(title('FMTL_EXECUTOR chooses the executor'), t => {
  const usual = process.env.FMTL_EXECUTOR
  t.teardown(() => { if (usual === undefined) delete process.env.FMTL_EXECUTOR; else process.env.FMTL_EXECUTOR = usual })
  const graphs = (): number => {
    const before = sessions()
    const model = createBackend(rung).load(differentiate(trunk, []))
    const opened = sessions() - before
    model.dispose()
    return opened
  }
  delete process.env.FMTL_EXECUTOR
  t.is(graphs(), 1)
  process.env.FMTL_EXECUTOR = 'eager'
  t.is(graphs(), 0)
  process.env.FMTL_EXECUTOR = 'fast'
  t.throws(graphs, { instanceOf: InvalidParametersError })
})

test.serial('rungs below TensorFlow run eagerly', async t => {
  const cpu = await loadRung('cpu')
  t.throws(() => createCompiledBackend(cpu), { instanceOf: BackendError })
  t.notThrows(() => createBackend(cpu, { executor: 'compiled' }).load(differentiate(trunk, [])))
})
