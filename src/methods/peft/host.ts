/**
 * A host's half: means in the warm steps, then the charter's rule on what sites send of their adapters. Who took part in a
 * step holds the base and is told of the adapters alone, or of the stack that was added to the base; everybody else gets the
 * base as well.
 */
import { BASE, FROM, TRUNK, columnsOf, stackName } from './plan.ts'
import { ProtocolError } from '../../errors.ts'
import { NAME_NUMBERS, baseOf, digitsOf, namesOf, nextBase } from '../../peft/base.ts'
import { factorName } from '../../peft/lora.ts'
import { factorsOf, flat } from '../../peft/factors.ts'
import { fingerprintOf, vector } from '../../training/saved-state.ts'
import { meanHost, sharesStats } from '../mean-host.ts'
import { withStack } from './site.ts'
import type { ConflictStats } from '../../projection/index.ts'
import type { DenseSize, Factors, Share } from '../../peft/factors.ts'
import type { HostInit, HostMethod, MethodShare } from '../method.ts'
import type { LoraPlan, PeftPlan } from './plan.ts'
import type { NamedTensor } from '../../tensor/tensor.ts'
import type { SavedState } from '../../training/saved-state.ts'
import type { Weights } from '../../training/unit.ts'

export class PeftHost implements HostMethod {
  readonly #plan: PeftPlan
  readonly #units: ReadonlyMap<string, Weights>
  readonly #trunk: Weights
  /** Averages unit by unit: everything in warm steps, later what is no factor. */
  readonly #warmMean: HostMethod
  readonly #mean: HostMethod
  /** The trunk as this half left it, and its name. Without values, whatever the trunk is goes by the name. */
  #held: Float32Array | undefined
  #base: string | undefined
  /** Name of the base that all start with, where no warm step changes it. */
  #start: string | undefined
  /** Who has the base. */
  #holders = new Set<string>()
  /** What the last step added to the base. */
  #stack: ReadonlyMap<string, Float32Array> = new Map()

  constructor (init: HostInit, plan: PeftPlan) {
    this.#plan = plan
    this.#units = init.units
    this.#trunk = init.units.get(TRUNK) as Weights
    const only = (fits: (name: string) => boolean): HostMethod => meanHost({ ...init, units: new Map([...init.units].filter(([name]) => fits(name))) })
    this.#warmMean = only(name => name === TRUNK || plan.rest.has(name))
    this.#mean = only(name => name !== TRUNK && (plan.lora === undefined || plan.rest.has(name)))
  }

  /** @throws {ProtocolError} adapters for another base than this host's, or not those of all layers in one rank */
  check (client: string, step: number, sent: readonly NamedTensor[]): void {
    if (step < this.#plan.warm) return
    const digits = sent.find(({ name }) => name === BASE)?.tensor.data
    const made = digits === undefined ? 'none' : namesOf(digits)[0]
    const base = this.#named()
    if (made !== base) throw new ProtocolError(`${client} sent adapters made for base ${made}, this host holds ${base}`, { next: 'start both from the same weights' })
    const { lora, ranks } = this.#plan
    if (lora === undefined) return
    const names = new Set(sent.map(({ name }) => name))
    const whole = (rank: number): boolean => [...lora.layers.keys()].every(layer => lora.rule.trains.every(role => names.has(factorName(layer, role, rank))))
    if (!ranks.some(whole)) throw new ProtocolError(`${client} sent factors that are not those of all ${lora.layers.size} layers in one rank`)
  }

  apply (step: number, from: readonly MethodShare[]): ConflictStats {
    if (step < this.#plan.warm) return this.#warmMean.apply(step, from)
    const base = this.#named()
    const { lora } = this.#plan
    this.#mean.apply(step, from)
    this.#holders = new Set(from.map(({ client }) => client))
    if (lora?.rule.into === 'base') this.#addStack(lora, step, from, base)
    else if (lora !== undefined) this.#moveFactors(lora, step, from)
    return sharesStats(from.map(share => ({ ...share, row: share.row.subarray(0, -NAME_NUMBERS) })))
  }

  told (client: string, step: number): readonly NamedTensor[] {
    const values = (names: Iterable<string>): NamedTensor[] => [...names].map(name => vector(name, (this.#units.get(name) as Weights).parameters))
    const { warm, rest, adapters } = this.#plan
    if (step < warm) return values([TRUNK, ...rest.keys()])
    const base = vector(BASE, digitsOf([this.#named()]))
    const tuned = [...values(rest.keys()), ...step === warm ? [] : values(adapters.keys()), base]
    if ((step === warm || !this.#holders.has(client)) && !this.#fromTheStart) return [...values([TRUNK]), ...tuned]
    return [...tuned, ...[...this.#stack].map(([name, data]) => vector(name, data))]
  }

  drop (client: string): void { this.#holders.delete(client) }

  save (): NamedTensor[] { return this.#base === undefined ? [] : [vector(BASE, digitsOf([this.#named()]))] }

  load (saved: SavedState): void {
    const digits = saved.find(BASE)
    this.#base = digits === undefined ? undefined : namesOf(digits)[0]
    this.#held = undefined
    this.#holders.clear()
  }

  /** The base is still the one that everybody starts with, from the seed or from a file: it need not travel, and may be too large to. */
  get #fromTheStart (): boolean {
    if (this.#plan.warm > 0) return false
    this.#start ??= baseOf(this.#trunk.startValues())
    return this.#named() === this.#start
  }

  /** The base's name. After hosts have met it may be another base, and nobody has it. */
  #named (): string {
    const now = this.#trunk.parameters
    const known = this.#held === undefined ? this.#base : this.#held.every((value, i) => value === now[i]) ? this.#base : undefined
    if (known === undefined) this.#holders.clear()
    if (known === undefined || this.#held === undefined) this.#held = now.slice()
    this.#base = known ?? baseOf(now)
    return this.#base
  }

  #moveFactors (lora: LoraPlan, step: number, from: readonly MethodShare[]): void {
    const { rule, rank, layers } = lora
    for (const [layer, size] of layers) {
      const shares = this.#shares(lora, step, [layer, size], from)
      if (shares.length === 0) continue
      const factors = this.#revived(layer, size, rule.aggregate(shares, { rank }))
      for (const role of rule.trains) this.#units.get(factorName(layer, role, rank))?.set(flat(role === 'A' ? factors.a : factors.b))
    }
  }

  #addStack (lora: LoraPlan, step: number, from: readonly MethodShare[], base: string): void {
    const { rule, rank, layers, options: { rankMax } } = lora
    const stack = new Map<string, Float32Array>()
    for (const [layer, size] of layers) {
      const shares = this.#shares(lora, step, [layer, size], from)
      const { a, b } = rule.aggregate(shares, { rank, ...rankMax === undefined ? {} : { rankMax } })
      stack.set(stackName(layer, 'A'), flat(a)).set(stackName(layer, 'B'), flat(b))
    }
    this.#trunk.set(withStack(this.#trunk.parameters, this.#plan, lora, stack))
    const adapters = from.map(({ tensors }) => fingerprintOf([...tensors].filter(([name]) => name.startsWith('peft/') && name !== BASE).sort(([a], [b]) => a < b ? -1 : 1)))
    this.#base = nextBase(base, adapters)
    this.#held = this.#trunk.parameters.slice()
    this.#stack = stack.set(FROM, digitsOf(adapters))
  }

  /** Sites' factors of one layer as they are after the step: what it began with, and what they say it changed. */
  #shares ({ rule, rank: wide }: LoraPlan, step: number, [layer, size]: readonly [string, DenseSize], from: readonly MethodShare[]): Share[] {
    const start = this.#plan.startOfA(layer, size, step)
    const [heldA, heldB] = [this.#units.get(factorName(layer, 'A', wide))?.parameters ?? start, this.#units.get(factorName(layer, 'B', wide))?.parameters ?? new Float32Array(size.outputs * wide)]
    const samples = from.reduce((sum, share) => sum + share.samples, 0)
    return from.flatMap(({ samples: own, tensors }) => {
      const rank = this.#plan.ranks.find(rank => rule.trains.every(role => tensors.has(factorName(layer, role, rank))))
      if (rank === undefined) return []
      const after = (held: Float32Array, change: Float32Array | undefined): Float32Array => change === undefined ? held : held.map((value, i) => value + (change[i] as number))
      const a = after(heldA.subarray(0, rank * size.inputs), tensors.get(factorName(layer, 'A', rank)))
      const b = after(columnsOf(heldB, wide, rank), tensors.get(factorName(layer, 'B', rank)))
      return [{ weight: own / samples, ...factorsOf(a, b, size) }]
    })
  }

  /** Rows that the average has no use for start again: with A and B both zero no gradient would reach them. */
  #revived (layer: string, size: DenseSize, { a, b }: Factors): Factors {
    const start = this.#plan.startOfA(layer, size, 0)
    for (let row = 0; row < a.rows; row++) {
      if (a.getRow(row).some(value => value !== 0) || b.getColumn(row).some(value => value !== 0)) continue
      a.setRow(row, [...start.subarray(row * size.inputs, (row + 1) * size.inputs)])
    }
    return { a, b }
  }
}
