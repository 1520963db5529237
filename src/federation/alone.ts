/**
 * Training without a consortium, for comparison: every site on its own rows, or one model on the rows of all sites (one per
 * input, where sites have different ones). The
 * same models, schedules and numbers of steps as the strategies that it stands beside; reports have the model as `federated`.
 */
import { ClientLayout } from '../training/client-layout.ts'
import { Committee, splitsOf } from '../training/committee.ts'
import { LocalTrainer } from '../training/local-trainer.ts'
import { deriveSeed } from '../random.ts'
import { expectFoundation } from '../foundation/spec.ts'
import { inputName, inputOf } from '../models/inputs.ts'
import { localStepsOf, totalSteps } from '../training/spec.ts'
import { meanByTask } from './round-log.ts'
import { rowsOf } from '../training/own-models.ts'
import { pooledSites } from '../data/pool.ts'
import { withTasks } from '../data/dataset.ts'
import type { ClientData } from '../data/dataset.ts'
import type { ClientReport } from '../training/committee.ts'
import type { SimulationInit, SimulationResult } from './simulator.ts'

/** Name of the place where pooled rows lie, and under which steps are told. */
const POOL = 'pool'

/** @param init.pooled - one model on all rows instead of one per site */
export async function trainAlone (init: SimulationInit & { readonly pooled: boolean }): Promise<SimulationResult> {
  const { charter, dataset, backend, tasksOf, pooled } = init
  const { model, training, seed } = charter
  expectFoundation(model.backbone.foundation, init.start)
  const sites = await Promise.all(dataset.clientIds.map(async id => {
    const own = await dataset.client(id)
    const data = init.all === undefined ? own : { ...own, all: init.all }
    return tasksOf === undefined ? data : withTasks(data, tasksOf(id))
  }))
  const inputs = dataset.inputs ?? [dataset.input]
  const poolOf = (site: ClientData): number => inputs.findIndex(input => inputName(input) === inputName(site.input))
  const places = pooled
    ? inputs.map((input, pool) => {
      const members = sites.filter(site => poolOf(site) === pool)
      return { data: pooledSites(POOL, input, charter.tasks.filter(task => inputName(inputOf(charter, task)) === inputName(input)), members), rows: training.batch * members.length }
    })
    : sites.map(data => ({ data, rows: training.batch }))
  // A pooled step sees as many rows as all sites of a split strategy together.
  const trainers = places.map(({ data, rows }) => new LocalTrainer(backend, data, model, { ...training, batch: rows }, deriveSeed(seed, 'local'), init.start))
  try {
    const steps = totalSteps(training) * localStepsOf(training)
    for (let step = 0; step < steps; step++) {
      const losses = []
      for (const trainer of trainers) losses.push(...await trainer.step(step))
      init.onStep?.(POOL, step + 1, meanByTask(losses))
    }
    const clients: ClientReport[] = []
    for (const [i, site] of sites.entries()) clients.push(await reportOf(site, trainers[pooled ? poolOf(site) : i] as LocalTrainer))
    return { clients, rounds: [], fingerprints: {}, liveTensors: [backend.liveTensors()], bytes: { up: 0, down: 0 } }
  } finally {
    for (const trainer of trainers) trainer.dispose()
  }

  async function reportOf (site: ClientData, trainer: LocalTrainer): Promise<ClientReport> {
    const committee = new Committee(new ClientLayout(site, model, training.smoothing), site)
    for (const split of splitsOf(site)) committee.put('federated', split, await trainer.predict(rowsOf(site, split)))
    return committee.report()
  }
}
