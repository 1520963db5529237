/** A consortium that trains Split-Mix in one process, and how good every mixture is: mean over the sites' own test rows. */
import { charterBy, oneHost } from './charters.ts'
import { simulate } from '../../src/federation/simulator.ts'
import type { Backend } from '../../src/backend/backend.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { Dataset } from '../../src/data/dataset.ts'
import type { NamedTensor } from '../../src/tensor/tensor.ts'
import type { SimulationResult } from '../../src/federation/simulator.ts'

export interface MixRun {
  readonly strategy?: string
  readonly seed: number
  readonly model: Readonly<Record<string, unknown>>
  readonly training: Readonly<Record<string, unknown>>
  readonly method?: Readonly<Record<string, unknown>>
}

export interface MixOutcome {
  readonly charter: Charter
  readonly result: SimulationResult
  /** Of every predictor in the reports, mean over sites. */
  readonly accuracy: Readonly<Record<string, number>>
  /** What the checkpoint of each site, and of the host, would hold. */
  readonly saved: Readonly<Record<string, readonly NamedTensor[]>>
  /** Tensor bytes of the sites' contributions, by site and step. */
  readonly sent: Readonly<Record<string, readonly number[]>>
}

export async function trainMix (backend: Backend, dataset: Dataset, { strategy = 'split-mix', seed, model, training, method }: MixRun): Promise<MixOutcome> {
  const charter = charterBy(strategy, dataset, { seed, model, training, method })
  const sent: Record<string, number[]> = {}
  const saved: Record<string, readonly NamedTensor[]> = {}
  const result = await simulate(oneHost({
    charter,
    dataset,
    backend,
    onFrame: (client, { kind, tensors }) => {
      if (kind === 'share') (sent[client] ??= []).push(tensors.reduce((sum, { tensor: { data } }) => sum + 4 * data.length, 0))
    },
    onTrainers: async (at, { clients, hosts }) => {
      if (at === 'end') for (const [name, trainer] of [...clients, ...hosts]) saved[name] = await trainer.save()
    }
  }))
  const accuracy: Record<string, number> = {}
  for (const { tasks } of result.clients) {
    for (const [name, { value }] of Object.entries(tasks[0]?.scores ?? {})) accuracy[name] = (accuracy[name] ?? 0) + value / result.clients.length
  }
  return { charter, result, accuracy, saved, sent }
}
