/**
 * A host's half of DemLearn. It is an edge node: the hierarchy is that of its own sites, its root the units that hosts average
 * among each other. Sites are clustered by their weights, over the units that two of them both have; one that comes between two
 * clusterings hangs at the root.
 */
import { averageLinkage, distancesOf } from '../../combinatorics/linkage.ts'
import { groupsOf, lowered, meanOf, parentsOf } from './tree.ts'
import { sharesStats } from '../mean-host.ts'
import { vector } from '../../training/saved-state.ts'
import type { DemlearnOptions } from './index.ts'
import type { Group } from './tree.ts'
import type { HostInit, HostMethod, MethodShare } from '../method.ts'
import type { NamedTensor } from '../../tensor/tensor.ts'
import type { SavedState } from '../../training/saved-state.ts'

type Place = Pick<Group, 'parent'>

const PARENTS = 'tree.parents'
const AT = 'tree.at/'
const MODEL = 'tree.model/'
const ROOT = -1

export class DemlearnHost implements HostMethod {
  readonly #units: HostInit['units']
  readonly #options: DemlearnOptions
  #groups: readonly Place[] = []
  /** The group that a site hangs at. */
  #at: ReadonlyMap<string, number> = new Map()
  /** Per unit and group; a group none of whose sites sent the unit has none. */
  #models: ReadonlyMap<string, ReadonlyArray<Float32Array | undefined>> = new Map()

  constructor ({ units }: HostInit, options: DemlearnOptions) {
    this.#units = units
    this.#options = options
  }

  /** Sites send what is between their weights and the start values. */
  apply (step: number, from: readonly MethodShare[]): ReturnType<HostMethod['apply']> {
    const weights = new Map([...this.#units].map(([name, unit]) => {
      const start = unit.startValues()
      return [name, from.map(({ tensors }) => tensors.get(name)?.map((change, i) => change + (start[i] as number)))] as const
    }))
    if (step % this.#options.every === 0 || this.#groups.length === 0) this.#cluster(from, weights)
    const members = this.#groups.map((_, group) => from.flatMap(({ client }, i) => this.#isIn(client, group) ? [i] : []))
    this.#models = new Map([...weights].map(([name, rows]) => [name, members.map(indices => {
      const sent = indices.flatMap(i => rows[i] ?? [])
      return sent.length === 0 ? undefined : Float32Array.from(meanOf(sent))
    })]))
    for (const [name, unit] of this.#units) {
      const root = this.#models.get(name)?.[0]
      if (root !== undefined) unit.set(root)
    }
    return sharesStats(from)
  }

  /** The group's model after the way down, from what hosts have made of their roots since. */
  told (client: string): readonly NamedTensor[] {
    if (this.#groups.length === 0) return []
    return [...this.#units].map(([name, { parameters }]) => {
      const models = [parameters, ...(this.#models.get(name) ?? []).slice(1)]
      return vector(name, lowered(this.#groups, models, this.#at.get(client) ?? 0, this.#options.alpha))
    })
  }

  save (): NamedTensor[] {
    return [
      vector(PARENTS, Float32Array.from(this.#groups, ({ parent }) => parent ?? ROOT)),
      ...[...this.#at].sort(([a], [b]) => a < b ? -1 : 1).map(([client, group]) => vector(`${AT}${client}`, Float32Array.of(group))),
      ...[...this.#models].flatMap(([name, models]) => models.flatMap((model, group) => model === undefined ? [] : [vector(modelName(group, name), model)]))
    ]
  }

  load (saved: SavedState): void {
    this.#groups = Array.from(saved.find(PARENTS) ?? [], parent => ({ parent: parent === ROOT ? undefined : parent }))
    this.#at = new Map(saved.names(AT).map(name => [name.slice(AT.length), saved.need(name, 1)[0] as number]))
    this.#models = new Map([...this.#units.keys()].map(name => [name, this.#groups.map((_, group) => saved.find(modelName(group, name)))]))
  }

  #cluster (from: readonly MethodShare[], weights: ReadonlyMap<string, ReadonlyArray<Float32Array | undefined>>): void {
    const points = from.map((_, i) => [...weights.values()].map(rows => rows[i]))
    const groups = groupsOf(averageLinkage(distancesOf(points, this.#options.distance)), this.#options.levels)
    const parents = parentsOf(groups)
    this.#groups = groups
    this.#at = new Map(from.map(({ client }, i) => [client, parents[i] as number]))
  }

  #isIn (client: string, group: number): boolean {
    let at: number | undefined = this.#at.get(client) ?? 0
    while (at !== undefined && at !== group) at = this.#groups[at]?.parent
    return at === group
  }
}

function modelName (group: number, unit: string): string { return `${MODEL}${group}/${unit}` }
