/** A host's half of MuPFL: the common model weighs sites by clusters, and what sites know of their classes is put together. */
import { clustersOf, sharesOf, similarity } from './clusters.ts'
import { MAP, isLastStep, meansMessage, readMeans } from './exchange.ts'
import { ProtocolError } from '../../errors.ts'
import { pooledMeans } from './classifier.ts'
import { readsRows } from './body.ts'
import { sharesStats } from '../mean-host.ts'
import { vector } from '../../training/saved-state.ts'
import { weightCount } from '../../training/unit.ts'
import { weightedMean } from '../../training/contributions.ts'
import type { Charter } from '../../federation/charter.ts'
import type { ClassMeans } from './classifier.ts'
import type { HostInit, HostMethod, MethodShare } from '../method.ts'
import type { MupflOptions } from './index.ts'
import type { NamedTensor } from '../../tensor/tensor.ts'
import type { SavedState } from '../../training/saved-state.ts'

export class MupflHost implements HostMethod {
  readonly #charter: Charter
  readonly #units: HostInit['units']
  readonly #options: MupflOptions
  readonly #numbers: number
  /** By task, of the last step. */
  #classes: ReadonlyMap<string, ClassMeans> = new Map()

  constructor ({ charter, units }: HostInit, options: MupflOptions) {
    this.#charter = charter
    this.#units = units
    this.#options = options
    this.#numbers = weightCount([...units.values()])
  }

  /** @throws {ProtocolError} classes with less than no rows: the pooled means would divide by nothing */
  check (client: string, _step: number, sent: readonly NamedTensor[]): void {
    for (const { id } of this.#charter.tasks) {
      const counts = readMeans(wanted => sent.find(({ name }) => name === wanted)?.tensor.data, id)?.counts
      if (counts?.some(count => count < 0) === true) throw new ProtocolError(`${client} sent negative counts for the classes of ${id}`)
    }
  }

  apply (step: number, from: readonly MethodShare[]): ReturnType<HostMethod['apply']> {
    const clusters = this.#clusters(from)
    for (const [name, unit] of this.#units) {
      const shares = sharesOf(clusters, from.map(({ samples, tensors }) => tensors.has(name) ? samples : 0))
      const sent = from.flatMap(({ tensors }, i) => tensors.has(name) ? [{ change: tensors.get(name) as Float32Array, share: shares[i] as number }] : [])
      if (sent.length === 0) continue
      unit.move(weightedMean(sent.map(({ change }) => change), sent.map(({ share }) => share), new Float32Array(unit.parameters.length)))
    }
    if (isLastStep(this.#charter, step)) this.#collect(from)
    // Units come first in a row: maps and class means are no directions.
    return sharesStats(from.map(share => ({ ...share, row: share.row.subarray(0, this.#numbers) })))
  }

  told (_client: string, step: number): readonly NamedTensor[] {
    const classes = isLastStep(this.#charter, step - 1) ? [...this.#classes].flatMap(([task, means]) => meansMessage(task, means)) : []
    return [...[...this.#units].map(([name, { parameters }]) => vector(name, parameters)), ...classes]
  }

  save (): NamedTensor[] { return [...this.#classes].flatMap(([task, means]) => meansMessage(task, means)) }

  load (saved: SavedState): void {
    this.#classes = new Map(this.#charter.tasks.flatMap(task => {
      const means = readMeans(name => saved.find(name), task.id)
      return means === undefined ? [] : [[task.id, means]]
    }))
  }

  #clusters (from: readonly MethodShare[]): number[][] {
    const names = [...this.#units.keys()]
    const weights = from.map(({ tensors }) => names.map(name => {
      const values = this.#units.get(name)?.parameters as Float32Array
      return tensors.get(name)?.map((change, i) => this.#options.compare === 'weights' ? change + (values[i] as number) : change)
    }))
    const maps = from.map(({ tensors }) => [tensors.get(MAP)])
    return clustersOf(weights.map((own, i) => weights.map((other, j) => similarity([own, other], [maps[i] ?? [], maps[j] ?? []]))), this.#options.cut)
  }

  #collect (from: readonly MethodShare[]): void {
    const { model: { backbone: { width } }, tasks } = this.#charter
    this.#classes = new Map(tasks.filter(readsRows).flatMap(({ id, channels }) => {
      const known = from.flatMap(({ tensors }) => readMeans(name => tensors.get(name), id) ?? [])
      return known.length === 0 ? [] : [[id, pooledMeans(known, channels, width)]]
    }))
  }
}
