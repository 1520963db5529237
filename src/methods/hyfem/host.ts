/**
 * What a host does for HyFEM: it matches the hidden units of its sites (./matching.ts), averages what is matched by the count of
 * sites that have it, and tells each site its own rows and columns. Encoders are averaged by count too.
 */
import { BIAS, fusionName, headName, outputsOf, rowsAt } from './layout.ts'
import { MatchedLayer } from './matching.ts'
import { ProtocolError } from '../../errors.ts'
import { blockColumns, encoderName } from '../../models/blocks.ts'
import { noConflicts } from '../stats.ts'
import { vector } from '../../training/saved-state.ts'
import { weightedMean } from '../../training/contributions.ts'
import type { Charter } from '../../federation/charter.ts'
import type { ConflictStats } from '../../projection/index.ts'
import type { HostInit, HostMethod, MethodShare } from '../method.ts'
import type { HyfemOptions } from './hyfem.ts'
import type { NamedTensor } from '../../tensor/tensor.ts'
import type { SavedState } from '../../training/saved-state.ts'
import type { SiteLayer } from './matching.ts'
import type { Weights } from '../../training/unit.ts'

/** Steps that begin with a new match: as many as there are layers, the hidden one and the readout. */
const MATCHED_STEPS = 2

export class HyfemHost implements HostMethod {
  readonly #charter: Charter
  readonly #units: ReadonlyMap<string, Weights>
  readonly #options: HyfemOptions
  readonly #blocks: number
  /** Client -> the global unit of each of its hidden units. Kept for those who leave: they may come back. */
  readonly #patterns = new Map<string, readonly number[]>()

  constructor ({ charter, units }: HostInit, options: HyfemOptions) {
    this.#charter = charter
    this.#units = units
    this.#options = options
    this.#blocks = blockColumns(options.blocks, charter.input).length
  }

  /** @throws {ProtocolError} a layer without its biases cannot be matched */
  check (client: string, _step: number, sent: readonly NamedTensor[]): void {
    if (!sent.some(({ name }) => name === BIAS)) throw new ProtocolError(`${client} sent a hidden layer without ${BIAS}`)
  }

  apply (step: number, from: readonly MethodShare[]): ConflictStats {
    if (step < MATCHED_STEPS) for (const { client } of from) this.#patterns.delete(client)
    for (let v = 0; v < this.#blocks; v++) this.#average(encoderName(v), from)
    const layer = new MatchedLayer(this.#blocks * this.#width + 1, this.#options.capacity)
    // Who has a pattern comes first: it is what newcomers are matched to.
    const known = from.filter(({ client }) => this.#patterns.has(client))
    for (const share of [...known, ...from.filter(share => !known.includes(share))]) {
      const site = this.#layerOf(share)
      const pattern = this.#patterns.get(share.client) ?? layer.match(site, this.#options.newCost)
      layer.add(site, pattern)
      this.#patterns.set(share.client, pattern)
    }
    this.#set('fusion', this.#packed(layer.means(this.#padded())))
    for (const task of this.#charter.tasks) this.#averageHead(headName(task), outputsOf(task), from)
    return noConflicts(from.length)
  }

  told (client: string): readonly NamedTensor[] {
    const { hidden } = this.#charter.model.backbone
    const pattern = this.#patterns.get(client) ?? Array.from({ length: hidden }, (_, i) => i)
    const fusion = this.#values('fusion')
    const { capacity } = this.#options
    const size = capacity * this.#width
    return [
      ...Array.from({ length: this.#blocks }, (_, v) => [
        vector(encoderName(v), this.#values(encoderName(v))),
        vector(fusionName(v), rowsAt(fusion.subarray(v * size, (v + 1) * size), pattern, this.#width))
      ]).flat(),
      vector(BIAS, rowsAt(fusion.subarray(this.#blocks * size), pattern, 1)),
      ...this.#charter.tasks.map(task => {
        const [name, outputs] = [headName(task), outputsOf(task)]
        const values = this.#values(name)
        return vector(name, Float32Array.from([...rowsAt(values, pattern, outputs), ...values.subarray(capacity * outputs)]))
      })
    ]
  }

  save (): NamedTensor[] { return [...this.#patterns].sort(([a], [b]) => a < b ? -1 : 1).map(([client, pattern]) => vector(`pattern/${client}`, Float32Array.from(pattern))) }

  load (saved: SavedState): void {
    const { hidden } = this.#charter.model.backbone
    const found = saved.names('pattern/').map(name => [name.slice('pattern/'.length), [...saved.need(name, hidden)]] as const)
    this.#patterns.clear()
    for (const [client, pattern] of found) this.#patterns.set(client, pattern)
  }

  get #width (): number { return this.#charter.model.backbone.width }

  #values (unit: string): Float32Array { return (this.#units.get(unit) as Weights).parameters }

  #set (unit: string, values: ArrayLike<number>): void { this.#units.get(unit)?.set(Float32Array.from(values)) }

  /** A site's hidden layer as rows of weights from its own blocks, biases last. */
  #layerOf ({ tensors }: MethodShare): SiteLayer {
    const { width, hidden } = this.#charter.model.backbone
    const held = Array.from({ length: this.#blocks }, (_, v) => v).filter(v => tensors.has(fusionName(v)))
    const bias = tensors.get(BIAS) as Float32Array
    return {
      units: hidden,
      coordinates: [...held.flatMap(v => Array.from({ length: width }, (_, i) => v * width + i)), this.#blocks * width],
      values: Array.from({ length: hidden }, (_, i) => [...held.flatMap(v => [...(tensors.get(fusionName(v)) as Float32Array).subarray(i * width, (i + 1) * width)]), bias[i] as number]).flat()
    }
  }

  /** The unit, block by block, as rows of weights from all blocks, and back. */
  #padded (): Float32Array {
    const [values, { capacity }, size] = [this.#values('fusion'), this.#options, this.#blocks * this.#width + 1]
    return Float32Array.from({ length: capacity * size }, (_, at) => values[this.#place(Math.floor(at / size), at % size, capacity)] as number)
  }

  #packed (rows: Float64Array): Float64Array {
    const [{ capacity }, size] = [this.#options, this.#blocks * this.#width + 1]
    const values = new Float64Array(rows.length)
    rows.forEach((value, at) => { values[this.#place(Math.floor(at / size), at % size, capacity)] = value })
    return values
  }

  #place (unit: number, column: number, capacity: number): number {
    if (column === this.#blocks * this.#width) return this.#blocks * capacity * this.#width + unit
    return Math.floor(column / this.#width) * capacity * this.#width + unit * this.#width + column % this.#width
  }

  #average (name: string, from: readonly MethodShare[]): void {
    const sent = from.flatMap(({ tensors }) => tensors.get(name) ?? [])
    if (sent.length > 0) this.#set(name, weightedMean(sent, sent.map(() => 1 / sent.length), new Float32Array((sent[0] as Float32Array).length)))
  }

  /** Rows by matched hidden unit, biases alike. */
  #averageHead (name: string, outputs: number, from: readonly MethodShare[]): void {
    const having = from.filter(({ tensors }) => tensors.has(name))
    if (having.length === 0) return
    const { capacity } = this.#options
    const coordinates = Array.from({ length: outputs }, (_, i) => i)
    const layer = new MatchedLayer(outputs, capacity)
    const bias = new Float64Array(outputs)
    for (const { client, tensors } of having) {
      const values = tensors.get(name) as Float32Array
      const pattern = this.#patterns.get(client) as readonly number[]
      layer.add({ units: pattern.length, coordinates, values: values.subarray(0, pattern.length * outputs) }, pattern)
      values.subarray(pattern.length * outputs).forEach((value, i) => { bias[i] = (bias[i] as number) + value / having.length })
    }
    this.#set(name, [...layer.means(this.#values(name).subarray(0, capacity * outputs)), ...bias])
  }
}
