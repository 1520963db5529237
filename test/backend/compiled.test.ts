/** What is the compiled executor's own: graphs that load, are shared, and do not load. Its numbers: ./compliance. */
import { mkdtemp, readdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { createBackend } from '../../src/backend/index.ts'
import { createCompiledBackend } from '../../src/backend/compiled/compiled.ts'
import { differentiate } from '../../src/graph/gradients.ts'
import { BackendError, InvalidParametersError } from '../../src/errors.ts'
import { loadRung } from '../../src/backend/ladder.ts'
import { buildTrunk } from '../../src/models/trunk.ts'
import { embedder, noise, trunk, weights } from '../helpers/parts.ts'
import { close } from '../helpers/tensors.ts'
import type { Gradients, Model, Passed } from '../../src/backend/backend.ts'
import type { Program } from '../../src/graph/gradients.ts'
import type { Rung } from '../../src/backend/ladder.ts'
import type { TensorData } from '../../src/tensor/tensor.ts'

const loaded = await loadRung('tensorflow').catch((error: Error) => error)
const title = (text: string): string => loaded instanceof Error ? `${text} (skipped: ${loaded.message})` : text
const native = loaded instanceof Error ? test.skip : test.serial
const rung = loaded as Rung
/** Of the largest number of a tensor. */
const TOLERANCE = 1e-5

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

/** Wide enough that a pass is shared out. */
const wide = buildTrunk({ width: 256, layers: 1, heads: 4, hidden: 512, attention: true })

for (const groups of [1, 3]) {
  native(title(`rows shared out among lanes, an odd number of them in ${groups} group(s): the results of a single call`), async t => {
    const before = rung.tf.memory().numTensors
    const program = differentiate(wide, ['activations'], { grouped: true })
    const [model, want] = (['compiled', 'eager'] as const).map(executor => createBackend(rung, { executor }).load(program)) as [Model, Model]
    const shape = [17 * groups, 16, 256]
    const [activations, features] = [noise(shape, 1), noise(shape, 2)]
    const passes: Array<{ outputs: Passed['outputs'], gradients: Gradients[] }> = []
    for (const each of [model, want]) {
      each.setParameters(weights(wide))
      const { outputs, kept } = await each.forward({ activations }, { groups })
      const again = await each.forward({ activations }, { groups, keep: 'inputs' })
      const gradients = [await each.backwardKeep(kept, { features }), await each.backward(kept, { features }), await each.backward(again.kept, { features })]
      const left = await each.forward({ activations }, { groups })
      left.kept.release()
      passes.push({ outputs, gradients })
    }
    const [got, expected] = passes as [typeof passes[number], typeof passes[number]]
    close(t, 'features', got.outputs.features?.data as Float32Array, expected.outputs.features?.data as Float32Array, TOLERANCE)
    for (const [i, { inputs, parameters }] of got.gradients.entries()) {
      close(t, 'activations', inputs.activations?.data as Float32Array, expected.gradients[i]?.inputs.activations?.data as Float32Array, TOLERANCE)
      close(t, 'parameters', parameters, expected.gradients[i]?.parameters as Float32Array, TOLERANCE)
      t.deepEqual(parameters, got.gradients[0]?.parameters)
    }
    for (const each of [model, want]) each.dispose()
    t.is(rung.tf.memory().numTensors, before)
  })
}

native(title('a pass that outlives its model is let go quietly'), async t => {
  const backend = createCompiledBackend(rung)
  const before = backend.liveTensors()
  const models = [backend.load(differentiate(trunk, ['activations'])), backend.load(differentiate(trunk, ['activations']))]
  for (const model of models) {
    model.setParameters(weights(trunk))
    const { kept } = await model.forward({ activations: noise([2, 3, 8], 1) })
    model.dispose()
    kept.release()
  }
  t.is(backend.liveTensors(), before)
})

native(title('a group has the same gradient, to the bit, alone and beside others'), async t => {
  const model = createCompiledBackend(rung).load(differentiate(wide, ['activations'], { grouped: true }))
  model.setParameters(weights(wide))
  const [activations, features] = [noise([32, 16, 256], 1), noise([32, 16, 256], 2)]
  const rows = ({ data }: TensorData, group: number): TensorData => ({ shape: [16, 16, 256], data: data.slice(group * 16 * 16 * 256, (group + 1) * 16 * 16 * 256) })
  const both = await model.backward((await model.forward({ activations }, { groups: 2 })).kept, { features })
  for (const group of [0, 1]) {
    const alone = await model.backward((await model.forward({ activations: rows(activations, group) }, { groups: 1 })).kept, { features: rows(features, group) })
    t.deepEqual(alone.parameters, both.parameters.slice(group * wide.parameterCount, (group + 1) * wide.parameterCount))
    t.deepEqual(alone.inputs.activations, rows(both.inputs.activations as TensorData, group))
  }
  model.dispose()
})

test.serial('rungs below TensorFlow run eagerly', async t => {
  const cpu = await loadRung('cpu')
  t.throws(() => createCompiledBackend(cpu), { instanceOf: BackendError })
  t.notThrows(() => createBackend(cpu, { executor: 'compiled' }).load(differentiate(trunk, [])))
})
