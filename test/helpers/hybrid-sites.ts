/** HyFEM at toy scale: six sites with two of three blocks each, alone, together, and the model that they make over all blocks. */
import { BLOCKS, blockSites } from './block-sites.ts'
import { BlockModel } from '../../src/training/block-model.ts'
import { blockColumns } from '../../src/models/blocks.ts'
import { parseTrainingSpec } from '../../src/training/spec.ts'
import { runToy } from './table-sites.ts'
import type { Backend } from '../../src/backend/backend.ts'
import type { Dataset } from '../../src/data/dataset.ts'
import type { SimulationResult } from '../../src/federation/simulator.ts'

const HOLDS = [[0, 1], [1, 2], [0, 2]]
const MODEL = { width: 8, layers: 1, hidden: 16 }
const ROOM = 2 * MODEL.hidden

interface Accuracies { readonly mean: number, readonly best: number }

export interface Hybrid {
  /** Of sites on their own blocks, trained alone and together. */
  readonly alone: Accuracies
  readonly together: Accuracies
  /** Of the model over all blocks, on rows that have all of them. */
  readonly whole: number
  /** Names of what each site sent. */
  readonly sent: ReadonlyMap<string, readonly string[]>
}

export async function hybrid (backend: Backend, { seed, rounds, mu }: { seed: number, rounds: number, mu: number }): Promise<Hybrid> {
  const dataset = blockSites({ seed, sites: 6, rows: [40, 20, 300], weights: [1, 1, 1] })
  const run = { strategy: 'hyfem', seed, model: MODEL, training: { rounds, localSteps: 10, batch: 16, warmup: 10, lrLocal: 0.01, weightDecay: 0.01 }, method: { blocks: BLOCKS, holds: HOLDS, mu } }
  const alone = await runToy(backend, dataset, { ...run, apart: true })
  const sent = new Map<string, readonly string[]>()
  let whole = NaN
  const together = await runToy(backend, dataset, {
    ...run,
    simulation: {
      onFrame: (client, { tensors }) => { if (tensors.length > 0) sent.set(client, tensors.map(({ name }) => name).sort()) },
      onTrainers: async (at, { hosts }) => {
        if (at === 'start') return
        for (const host of hosts.values()) whole = await accuracyOverAll(backend, dataset, new Map((await host.save()).map(({ name, tensor }) => [name, tensor.data])))
      }
    }
  })
  return { alone: accuracies(alone), together: accuracies(together), whole, sent }
}

function accuracies ({ clients }: SimulationResult): Accuracies {
  const values = clients.map(({ tasks }) => tasks[0]?.scores.federated?.value ?? NaN)
  return { mean: values.reduce((a, b) => a + b, 0) / values.length, best: Math.max(...values) }
}

async function accuracyOverAll (backend: Backend, dataset: Dataset, units: ReadonlyMap<string, Float32Array>): Promise<number> {
  let [right, rows] = [0, 0]
  for (const id of dataset.clientIds) {
    const data = await dataset.client(id)
    const model = new BlockModel(backend, data, { ...MODEL, heads: 1, hidden: ROOM, attention: false }, { seed: 0, training: parseTrainingSpec({}), rate: 1, columns: blockColumns(BLOCKS, data.input), held: [0, 1, 2] })
    for (const unit of model.units) unit.set(units.get(unit.name) as Float32Array)
    const { data: probabilities } = (await model.predict(data.test)).get('kind') as { data: Float32Array }
    for (let row = 0; row < data.test.count; row++) {
      const own = [...probabilities.subarray(4 * row, 4 * row + 4)]
      if (own.indexOf(Math.max(...own)) === data.test.y.kind?.[row]) right++
      rows++
    }
    model.dispose()
  }
  return right / rows
}
