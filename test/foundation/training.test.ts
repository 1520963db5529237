/** Consortia that build on a pretrained encoder: where all begin, and that it trains, whole and split, on pictures and texts. */
import test from 'ava'
import { charterBy, oneHost, withoutRecipe } from '../helpers/charters.ts'
import { FoundationError, InvalidParametersError } from '../../src/errors.ts'
import { backendOn } from '../helpers/rungs.ts'
import { buildTrunk } from '../../src/models/trunk.ts'
import { byName, close } from '../helpers/tensors.ts'
import { createCharter } from '../../src/federation/charter.ts'
import { createEmbedder } from '../../src/models/embedder.ts'
import { differentiate } from '../../src/graph/gradients.ts'
import { findStrategy } from '../../src/strategies/index.ts'
import { folderOf as filesIn } from '../helpers/files.ts'
import { folderOf, foundationCharter, importTiny } from '../helpers/foundation.ts'
import { openDataset } from '../../src/data/open.ts'
import { runExperiment } from '../../src/federation/experiment.ts'
import { simulate } from '../../src/federation/simulator.ts'
import { spawnTrainer } from '../../src/compute/spawn.ts'
import { startWeights } from '../../src/foundation/weights.ts'
import { reviewsManifest, tokenizerJson } from '../helpers/word-pieces.ts'
import { withSharedData } from '../helpers/shared-data.ts'
import { LEVEL, SIDE, syntheticDataset } from '../helpers/synthetic.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { Dataset } from '../../src/data/dataset.ts'
import type { ExecutionContext } from 'ava'
import type { LoadedFoundation } from '../../src/foundation/weights.ts'
import type { Model } from '../../src/backend/backend.ts'
import type { NamedTensor, TensorData } from '../../src/tensor/tensor.ts'
import type { SimulationResult } from '../../src/federation/simulator.ts'

const backend = await backendOn('wasm')
const vit = await importTiny(folderOf('vit-tiny'))
const quadrants = syntheticDataset({ clients: [{ id: 'ada', tasks: [LEVEL, SIDE] }, { id: 'ben', tasks: [LEVEL, SIDE] }], rows: [24, 6, 6] })

function charterOf (strategy: string, dataset: Dataset, { model }: LoadedFoundation, training: Readonly<Record<string, number>>, method?: Readonly<Record<string, unknown>>): Charter {
  return charterBy(strategy, withoutRecipe(dataset), { seed: 7, model: { ...model }, training: { warmup: 4, weightDecay: 0.01, ...training }, method })
}

const WHOLE = { rounds: 4, stepsPerRound: 1, localSteps: 5, batch: 8, lrLocal: 0.002 }

/** @returns mean loss over tasks by step of the clock as well */
async function run (dataset: Dataset, charter: Charter, start: readonly NamedTensor[], init: Partial<Parameters<typeof simulate>[0]> = {}): Promise<SimulationResult & { readonly losses: readonly number[] }> {
  const losses: number[] = []
  const result = await simulate(oneHost({
    charter,
    dataset,
    backend,
    start,
    onStep: (_host, _step, byTask) => { losses.push(Object.values(byTask).reduce((sum, loss) => sum + loss, 0) / Object.keys(byTask).length) },
    ...init
  }))
  return { ...result, losses }
}

function learns (t: ExecutionContext, losses: readonly number[], share: number): void {
  t.true((losses.at(-1) as number) < share * (losses[0] as number), losses.map(loss => loss.toFixed(3)).join(' '))
}

/** Every name and number that two sets of units have in common. */
function same (t: ExecutionContext, got: readonly NamedTensor[], start: readonly NamedTensor[]): void {
  const units = byName(got)
  for (const { name, tensor } of start) close(t, name, units[name] ?? [], tensor.data, 0)
}

test('whole models begin with the file\'s embedder and trunk at every site and host, and learn', async t => {
  const charter = charterOf('fedavg', quadrants, vit, WHOLE)
  const start = startWeights(charter, vit)
  const { losses } = await run(quadrants, charter, start, {
    onTrainers: async (at, { clients, hosts }) => {
      if (at === 'end') return
      for (const trainer of clients.values()) same(t, await trainer.weights(), start)
      for (const trainer of hosts.values()) same(t, await trainer.clientUnits(), start)
    }
  })
  learns(t, losses, 0.8)
})

test('models that a site trains for itself begin there too: alone, beside the agreed one, and for attention', async t => {
  const training = { ...WHOLE, rounds: 1, localSteps: 1 }
  for (const strategy of ['ditto', 'pfedme', 'fedamp']) {
    const charter = charterOf(strategy, quadrants, vit, training)
    const start = startWeights(charter, vit)
    await run(quadrants, charter, start, {
      baseline: true,
      onTrainers: async (at, { clients }) => {
        if (at === 'end') return
        for (const trainer of clients.values()) {
          const saved = byName(await trainer.save())
          for (const { name, tensor } of start) {
            const prefixes = Object.keys(saved).filter(key => key.endsWith(name)).map(key => key.slice(0, -name.length))
            t.deepEqual(prefixes.sort(), strategy === 'fedamp' ? ['', 'local0/'] : ['', 'local0/', 'personal/'])
            for (const prefix of prefixes) t.deepEqual(saved[`${prefix}${name}`], Float32Array.from(tensor.data), `${strategy}: ${prefix}${name}`)
          }
        }
      }
    })
  }
  const local = charterOf('local', quadrants, vit, { rounds: 1, stepsPerRound: 2, batch: 8 })
  const init = { charter: local, dataset: quadrants, backend, hosts: [], clients: [], control: false }
  await t.notThrowsAsync(runExperiment(findStrategy('local'), { ...init, start: startWeights(local, vit) }))
  await t.throwsAsync(runExperiment(findStrategy('local'), init), { instanceOf: FoundationError })
})

test('a split model has the encoder at the host, and learns', async t => {
  const charter = charterOf('fedbone', quadrants, vit, { rounds: 2, stepsPerRound: 12, batch: 8, lrTrunk: 0.002, lrClient: 0.004 })
  const start = startWeights(charter, vit)
  t.is(charter.model.trunk, undefined)
  const { losses } = await run(quadrants, charter, start)
  learns(t, losses, 0.8)
})

test('a method that begins from the seed alone is refused', t => {
  t.throws(() => charterOf('split-mix', quadrants, vit, WHOLE), { instanceOf: InvalidParametersError, message: /begins from the charter's seed/ })
  t.throws(() => charterOf('fedpae', quadrants, vit, { rounds: 1, batch: 8 }), { instanceOf: InvalidParametersError, message: /^bench: / })
})

test('centres of a method begin with the file\'s weights', async t => {
  const charter = charterOf('fesem', quadrants, vit, { ...WHOLE, rounds: 1 })
  const start = startWeights(charter, vit)
  await run(quadrants, charter, start, {
    onTrainers: async (at, { clients, hosts }) => {
      if (at === 'end') return
      for (const trainer of clients.values()) same(t, await trainer.weights(), start)
      const units = byName(await [...hosts.values()][0]?.clientUnits() ?? [])
      for (const { name, tensor } of start) t.deepEqual(units[`center/0/${name}`], Float32Array.from(tensor.data), name)
    }
  })
})

for (const strategy of ['fedit', 'ffa-lora', 'fed-adapter', 'fed-prompt']) {
  test(`${strategy} tunes the imported encoder, which stays as the file has it`, async t => {
    const charter = charterOf(strategy, quadrants, vit, { ...WHOLE, lrLocal: 0.005 }, { warm: 0 })
    const start = startWeights(charter, vit)
    const { losses } = await run(quadrants, charter, start, {
      onTrainers: async (at, { clients, hosts }) => {
        const trunk = start.filter(({ name }) => name === 'trunk')
        for (const trainer of clients.values()) same(t, await trainer.weights(), trunk)
        for (const trainer of hosts.values()) same(t, await trainer.save(), at === 'start' ? start : trunk)
      }
    })
    learns(t, losses, 0.9)
  })
}

test('nothing trains without the file, with one that no charter names, or with units of another model', async t => {
  const charter = charterOf('fedavg', quadrants, vit, WHOLE)
  const start = startWeights(charter, vit)
  await t.throwsAsync(run(quadrants, charter, []), { instanceOf: FoundationError, message: /was not given/ })
  const own = createCharter({ name: 'own', seed: 1, input: quadrants.input, tasks: quadrants.tasks })
  await t.throwsAsync(run(quadrants, own, start), { instanceOf: FoundationError, message: /no foundation model/ })
  const short = start.map(({ name, tensor }) => ({ name, tensor: { shape: [9], data: tensor.data.slice(0, 9) } }))
  await t.throwsAsync(run(quadrants, charter, short), { instanceOf: InvalidParametersError, message: /to start from has 9 numbers/ })
})

test('a compute worker begins with the weights too, and says so itself where it has none', async t => {
  const charter = charterOf('fedavg', quadrants, vit, WHOLE)
  const start = startWeights(charter, vit)
  await t.throwsAsync(spawnTrainer({ kind: 'host', charter, backend: 'cpu' }), { instanceOf: FoundationError })
  const compute = await spawnTrainer({ kind: 'host', charter, backend: 'cpu', start })
  t.teardown(async () => { await compute.stop() })
  same(t, await compute.trainer.clientUnits(), start)
})

test('texts pass through BERT by its own pieces, and are told apart', async t => {
  const texts = [['yes', 'the film was very good and fresh'], ['yes', 'i like it'], ['yes', 'warm food, good film'], ['no', 'i hate it'], ['no', 'the food was cold and dull'], ['no', 'not good, very slow']]
  const rows = ['north', 'south'].flatMap(site => [0, 1, 2, 3].flatMap(copy => texts.map(([liked, text], i) => `${site},${copy === 3 && i % 3 === 0 ? 1 : 0},${liked},"${text}${'!'.repeat(copy)}"`)))
  const folder = await filesIn(t, { 'fmtl.yaml': reviewsManifest(12), 'rows.csv': ['site,test,liked,text', ...rows].join('\n'), 'tokenizer.json': tokenizerJson() })
  const bert = await importTiny(folderOf('bert-tiny'))
  const dataset = await openDataset(folder, { seed: 1 })
  const charter = charterOf('fedavg', dataset, bert, WHOLE)
  const { losses } = await run(dataset, charter, startWeights(charter, bert))
  learns(t, losses, 0.7)
  for (const tuned of ['fedit', 'fed-prompt']) {
    const adapted = charterOf(tuned, dataset, bert, { ...WHOLE, rounds: 2 }, { warm: 0 })
    await t.notThrowsAsync(run(dataset, adapted, startWeights(adapted, bert)), tuned)
  }
})

test('padding behind a text changes nothing of what BERT makes of its tokens', async t => {
  const bert = await importTiny(folderOf('bert-tiny'))
  const features = await Promise.all([5, 9].map(async length => {
    const charter = foundationCharter(bert, { modality: 'tokens', shape: [length, 1], buckets: 50, tokenizer: '0123456789abcdef' }, [SIDE])
    const embedder = createEmbedder(charter.model.embedder, charter.input, 32)
    const start = startWeights(charter, bert)
    const [embed, trunk] = [embedder.graph, buildTrunk(charter.model.backbone)].map((graph, i) => {
      const model = backend.load(differentiate(graph, []))
      model.setParameters(Float32Array.from(start[i]?.tensor.data ?? []))
      return model
    }) as [Model, Model]
    const { activations, mask } = await embed.infer({ pieces: embedder.unfold(Float32Array.of(2, 7, 8, 9, 3, -1, -1, -1, -1).subarray(0, length), 1) })
    const outputs = await trunk.infer({ activations: activations as TensorData, mask: mask as TensorData })
    for (const model of [embed, trunk]) model.dispose()
    return outputs.features?.data.slice(0, 5 * 32) as Float32Array
  })) as [Float32Array, Float32Array]
  close(t, 'features of the text', features[1], features[0], 1e-5)
})

withSharedData('faces', 'faces train on the imported ViT, resized and in three channels', async (t, folder) => {
  const dataset = await openDataset(folder, { seed: 7, clients: 2 })
  const charter = charterOf('fedavg', dataset, vit, { ...WHOLE, rounds: 6, batch: 16, weightDecay: 0.3 })
  const { losses, clients } = await run(dataset, charter, startWeights(charter, vit))
  learns(t, losses, 0.7)
  t.is(clients.length, 2)
})

test('a charter on a foundation model says which one, and nothing of what the recipe said of embedder and sizes', t => {
  const charter = foundationCharter(vit, quadrants.input, quadrants.tasks, { model: { dropout: 0 } })
  t.deepEqual(charter.model.embedder, { kind: 'patches', patch: 8, stride: 8, padding: 0, foundation: vit.model.foundation })
})
