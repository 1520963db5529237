/** What a site makes of its groups' models and of its local ones, which have the rounds of the whole training on all its tasks. */
import { totalSteps } from '../../src/training/spec.ts'
import { spawnTrainer } from '../../src/compute/spawn.ts'
import type { Checkpoints } from '../store/memory.ts'
import type { ClientReport } from '../../src/training/committee.ts'
import type { ClientTrainer, EvaluationSplit } from '../../src/training/client-trainer.ts'
import type { ClientTrainerInit } from '../../src/compute/spawn.ts'
import type { NamedTensor } from '../../src/tensor/tensor.ts'
import type { Remote } from '../../src/compute/remote.ts'

export const SPLITS: readonly EvaluationSplit[] = ['holdout', 'test']

/** After a group's last step: its model's predictions for this site's rows. */
export async function keepPredictions (store: Checkpoints, step: number, trainer: Remote<ClientTrainer>): Promise<void> {
  const outputs: NamedTensor[] = []
  for (const split of SPLITS) outputs.push(...(await trainer.predictions('federated', split)).map(({ name, tensor }) => ({ name: `${split}/${name}`, tensor })))
  await store.save(step, outputs)
}

/** @param outcomes - predictions of every group that this site trained in */
export async function finalReport (init: Omit<ClientTrainerInit, 'kind'>, outcomes: readonly Checkpoints[], signal: AbortSignal): Promise<ClientReport> {
  const { charter, baseline = true } = init
  const kept = (await Promise.all(outcomes.map(async store => await store.latest()))).flatMap(outcome => outcome?.tensors ?? [])
  const compute = await spawnTrainer({ kind: 'client', ...init })
  try {
    const { trainer } = compute
    if (baseline) {
      for (let step = 0; step < totalSteps(charter.training); step++) {
        signal.throwIfAborted()
        await trainer.localStep(step)
      }
    }
    for (const split of SPLITS) {
      const prefix = `${split}/`
      await trainer.takePredictions('federated', split, kept.flatMap(({ name, tensor }) => name.startsWith(prefix) ? [{ name: name.slice(prefix.length), tensor }] : []))
    }
    return await trainer.report()
  } finally {
    await compute.stop()
  }
}
