/**
 * A charter with groups of tasks in one process: the merged phase, the split that its measurements ask for, and each
 * group from the merged weights (./groups.ts). Every phase is a run of its own, with optimisers and rates of its own.
 */
import { ClientTrainer } from '../training/client-trainer.ts'
import { encoderSteps, groupCharter, mergedCharter, partitionOf, phaseRounds } from './groups.ts'
import { queued } from '../compute/remote.ts'
import { totalSteps } from '../training/spec.ts'
import { withTasks } from '../data/dataset.ts'
import type { ClientData, Dataset } from '../data/dataset.ts'
import type { ClientReport } from '../training/committee.ts'
import type { EncoderSteps, SiteSums, TaskGroup, TaskPartition } from './groups.ts'
import type { EvaluationSplit } from '../training/client-trainer.ts'
import type { NamedTensor } from '../tensor/tensor.ts'
import type { RoundReport } from '../backbone/frames.ts'
import type { SimulationInit, SimulationResult } from './simulator.ts'

export interface SplitResult {
  readonly partition: TaskPartition
  readonly encoderSteps: EncoderSteps
  readonly merged: SimulationResult
  /** In the partition's order. */
  readonly groups: readonly SimulationResult[]
}

interface Site {
  readonly id: string
  /** Name on the wire. */
  readonly name: string
  readonly host: string
  readonly tasks: readonly string[]
}

/** What a client has left of a group: predictions for its own rows. */
interface Predicted { readonly site: string, readonly split: EvaluationSplit, readonly outputs: readonly NamedTensor[] }

const SPLITS = ['holdout', 'test'] as const

/**
 * @param run - one phase
 * @throws {InvalidParametersError} a charter without a grouping section
 */
export async function simulateGroups (init: SimulationInit, run: (init: SimulationInit) => Promise<SimulationResult>): Promise<SimulationResult & { readonly split: SplitResult }> {
  const { charter, dataset } = init
  const rounds: RoundReport[] = []
  const hear = (report: RoundReport, group?: TaskGroup): void => {
    rounds.push(report)
    init.onRound?.(report, group)
  }
  const sites = await Promise.all(dataset.clientIds.map(async (id, c): Promise<Site> => ({
    id,
    name: init.clients[c] ?? id,
    host: init.hostOf?.(id) ?? init.hosts[c % init.hosts.length] as string,
    tasks: (await dataOf(init, id)).tasks.map(task => task.id)
  })))
  // Local models are trained once, with the whole run's budget: `reportOf`.
  const phase = { ...init, control: false, baseline: false, hostOf: (client: string) => sites.find(({ id }) => id === client)?.host ?? '' }
  const measured: SiteSums[] = []
  const weights = new Map<string, readonly NamedTensor[]>()
  const merged = await run({
    ...phase,
    charter: mergedCharter(charter),
    onRound: report => { hear({ ...report, final: false }) },
    onTrainers: async (at, trainers, charter) => {
      await init.onTrainers?.(at, trainers, charter)
      if (at === 'start') return
      for (const [site, trainer] of trainers.clients) {
        measured.push({ site, ...await trainer.affinity() })
        weights.set(site, await trainer.weights())
      }
      for (const [host, trainer] of trainers.hosts) weights.set(host, await trainer.clientUnits())
    }
  })
  const partition = partitionOf(measured, charter)
  const steps = encoderSteps(charter, partition, sites.map(({ tasks }) => tasks))
  init.onPartition?.(partition, steps)
  const predicted: Predicted[] = []
  const groups: SimulationResult[] = []
  for (const group of partition.groups) {
    const members = sites.filter(({ tasks }) => tasks.some(task => group.tasks.includes(task)))
    const training = groupCharter(charter, group)
    groups.push(await run({
      ...phase,
      charter: training,
      dataset: someOf(dataset, training.tasks, members.map(({ id }) => id)),
      clients: members.map(({ name }) => name),
      hosts: init.hosts.filter(host => members.some(member => member.host === host)),
      tasksOf: client => members.find(({ id }) => id === client)?.tasks.filter(task => group.tasks.includes(task)) ?? [],
      onStep: (host, step, losses) => init.onStep?.(host, step, losses, group),
      onRound: report => { hear({ ...report, round: phaseRounds(charter).merged + report.round }, group) },
      onTrainers: async (at, trainers, charter) => {
        if (at === 'start') for (const [name, trainer] of [...trainers.clients, ...trainers.hosts]) await trainer.start(weights.get(name) ?? [])
        else for (const [site, trainer] of trainers.clients) for (const split of SPLITS) predicted.push({ site, split, outputs: await trainer.predictions('federated', split) })
        await init.onTrainers?.(at, trainers, charter)
      }
    }))
  }
  const clients: ClientReport[] = []
  for (const { id, name } of sites) clients.push(await reportOf(init, id, predicted.filter(({ site }) => site === name)))
  const phases = [merged, ...groups]
  return {
    clients,
    rounds,
    fingerprints: Object.fromEntries(phases.flatMap(({ fingerprints }, i) => Object.entries(fingerprints).map(([name, hash]) => [i === 0 ? name : `${name}.${i - 1}`, hash]))),
    liveTensors: phases.flatMap(({ liveTensors }) => liveTensors),
    bytes: phases.reduce((sum, { bytes: { up, down } }) => ({ up: sum.up + up, down: sum.down + down }), { up: 0, down: 0 }),
    split: { partition, encoderSteps: steps, merged, groups }
  }
}

function someOf (dataset: Dataset, tasks: Dataset['tasks'], clientIds: readonly string[]): Dataset {
  const { name, input, recipe } = dataset // one by one: a data set may be an object of a class
  return { name, input, recipe, tasks, clientIds, client: async id => await dataset.client(id) }
}

async function dataOf ({ dataset, tasksOf }: SimulationInit, id: string): Promise<ClientData> {
  const data = await dataset.client(id)
  return tasksOf === undefined ? data : withTasks(data, tasksOf(id))
}

/** What the site makes of its groups' models and of its local ones, which have the rounds of the whole run on all its tasks. */
async function reportOf (init: SimulationInit, id: string, predicted: readonly Predicted[]): Promise<ClientReport> {
  const { charter, backend, control, baseline = true } = init
  const trainer = queued(new ClientTrainer(backend, charter, await dataOf(init, id), { control, baseline, ...init.start === undefined ? {} : { start: init.start } }))
  try {
    if (baseline) for (let step = 0; step < totalSteps(charter.training); step++) await trainer.localStep(step)
    for (const split of SPLITS) {
      await trainer.takePredictions('federated', split, predicted.filter(each => each.split === split).flatMap(({ outputs }) => outputs))
    }
    return await trainer.report()
  } finally {
    await trainer.dispose()
  }
}
