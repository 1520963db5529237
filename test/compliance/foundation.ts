/** What a rung makes of imported encoders, held against the library that wrote them: hidden states and the length of every gradient. */
import test from 'ava'
import { GraphBuilder } from '../../src/graph/graph.ts'
import { PADDED } from '../../src/foundation/embedder.ts'
import { buildTrunk } from '../../src/models/trunk.ts'
import { composeModel } from '../../src/models/whole.ts'
import { createBackend } from '../../src/backend/index.ts'
import { createEmbedder } from '../../src/models/embedder.ts'
import { differentiate } from '../../src/graph/gradients.ts'
import { elements } from '../../src/tensor/tensor.ts'
import { loadRung } from '../../src/backend/ladder.ts'
import { startWeights } from '../../src/foundation/weights.ts'
import { folderOf, foundationCharter, importTiny, readReference } from '../helpers/foundation.ts'
import { SIDE } from '../helpers/synthetic.ts'
import type { Executor } from '../../src/backend/index.ts'
import type { Graph } from '../../src/graph/graph.ts'
import type { InputSpec } from '../../src/data/dataset.ts'
import type { Reference } from '../helpers/foundation.ts'
import type { RungName } from '../../src/backend/ladder.ts'
import type { TensorData } from '../../src/tensor/tensor.ts'

/** Absolute, of hidden states about 1 in size. */
const HIDDEN_TOLERANCE = 1e-4
/** Relative. */
const NORM_TOLERANCE = 1e-3

interface Case {
  readonly name: string
  readonly input: InputSpec
  /** From the reference's inputs. @param unfold - of the embedder */
  readonly pieces: (reference: Reference, unfold: (x: Float32Array, count: number) => TensorData) => TensorData
}

const CASES: readonly Case[] = [
  {
    name: 'vit-tiny',
    input: { modality: 'image', shape: [16, 16, 3] },
    pieces: ({ inputs: { pixel_values: pictures = [] } }, unfold) => {
      const x = pictures.flatMap(channels => (channels[0] as number[][]).flatMap((row, y) => row.flatMap((_, x) => channels.map(rows => rows[y]?.[x] as number))))
      return unfold(Float32Array.from(x), pictures.length)
    }
  },
  {
    name: 'bert-tiny',
    input: { modality: 'tokens', shape: [7, 1], buckets: 50, tokenizer: '0123456789abcdef' },
    // the reference has words under its mask, which rows of a data set never have
    pieces: ({ inputs: { input_ids: ids = [], attention_mask: mask = [] } }) => ({
      shape: [ids.length, 7, 2],
      data: Float32Array.from(ids.flatMap((row, i) => row.flatMap((id, j) => [id, mask[i]?.[j] === 1 ? 0 : PADDED])))
    })
  }
]

/** Registers the tests of one executor on one rung; where the rung does not load they are skipped, with the reason. */
export async function foundationCompliance (rungName: RungName, executor: Executor): Promise<void> {
  const rung = await loadRung(rungName).catch((error: Error) => error)
  if (rung instanceof Error) {
    test.skip(`${executor} on ${rungName} (skipped: ${rung.message})`, t => { t.pass() })
    return
  }
  const backend = createBackend(rung, { executor, onFall: line => { throw new Error(line) } })
  for (const { name, input, pieces } of CASES) {
    test.serial(`${executor} on ${rungName}: ${name} gives the library's hidden states and gradient norms`, async t => {
      const reference = readReference(name)
      const loaded = await importTiny(folderOf(name))
      const charter = foundationCharter(loaded, input, [SIDE])
      const { width } = charter.model.backbone
      const embedder = createEmbedder(charter.model.embedder, input, width)
      const parts = { embed: embedder.graph, trunk: buildTrunk(charter.model.backbone) }
      const graph = composeModel({ embedder: parts.embed, trunk: parts.trunk, heads: new Map([['hidden', through(embedder.tokens, width)]]), tokens: embedder.tokens })
      const [embed, trunk] = startWeights(charter, loaded)
      const model = backend.load(differentiate(graph, []))
      model.setParameters(Float32Array.from([...embed?.tensor.data ?? [], ...trunk?.tensor.data ?? []]))
      const { outputs, kept } = await model.forward({ pieces: pieces(reference, embedder.unfold) })
      const want = reference.last_hidden_state.flat(2)
      const got = outputs.hidden as TensorData
      t.is(got.data.length, want.length)
      const worst = want.reduce((worst, value, i) => Math.max(worst, Math.abs(value - (got.data[i] as number))), 0)
      t.true(worst < HIDDEN_TOLERANCE, `hidden states differ by ${worst}`)
      const seed = { shape: got.shape, data: Float32Array.from(want, (_, i) => -1 + 2 * i / (want.length - 1)) }
      const { parameters } = await model.backward(kept, { hidden: seed })
      let furthest = 0
      for (const { source, target, at, take, shape } of loaded.plan.placements) {
        const [part = '', parameter] = target.split('/')
        const { offset, size } = graph.parameters.find(({ name }) => name === `${part}:${parameter}`) as Graph['parameters'][number]
        const own = parameters.subarray(offset + at, offset + Math.min(size, at + (take ?? elements(shape))))
        const known = (reference.grad_norms[source] ?? reference.grad_norms[inMemory(source)]) as number
        // key biases cancel in the softmax: the reference has rounding there, and nothing to be relative to
        if (known < 1e-2) t.true(Math.hypot(...own) < 1e-2, source)
        else furthest = Math.max(furthest, Math.abs(Math.hypot(...own) / known - 1))
      }
      t.true(furthest < NORM_TOLERANCE, `gradient norms differ by ${furthest}`)
      t.is(loaded.plan.placements.length, Object.keys(reference.grad_norms).length)
      t.log(`hidden states within ${worst.toExponential(1)}, gradient norms within ${furthest.toExponential(1)}`)
      model.dispose()
    })
  }
}

/** The library renames layers of vision transformers when it saves them; its gradients have the names in memory. */
function inMemory (source: string): string {
  const layer = /^encoder\.layer\.(\d+)\.(?:attention\.(?:attention\.(query|key|value)|output\.(dense))|(intermediate|output)\.dense|(layernorm_\w+))\.(\w+)$/.exec(source)
  if (layer === null) return source
  const [, index, projection, out, feed, norm, kind] = layer
  const part = projection === undefined ? out === undefined ? feed === undefined ? norm : `mlp.fc${feed === 'intermediate' ? 1 : 2}` : 'attention.o_proj' : `attention.${projection[0]}_proj`
  return `layers.${index}.${part}.${kind}`
}

/** A head that hands its features out. */
function through (tokens: number, width: number): Graph {
  const g = new GraphBuilder()
  g.output('prediction', g.input('features', ['B', tokens, width]))
  return g.build()
}
