/**
 * A site's half: after the warm steps the trunk is read and never written. It sends what its steps changed in the adapters, and
 * the name of the trunk they were made for.
 */
import { BASE, FROM, TRUNK, columnsOf, stackName } from './plan.ts'
import { ProtocolError } from '../../errors.ts'
import { WholeModel } from '../../training/whole-model.ts'
import { baseOf, digitsOf, namesOf, nextBase } from '../../peft/base.ts'
import { difference } from '../../training/local-rules.ts'
import { factorName } from '../../peft/lora.ts'
import { factorsOf, mergeInto } from '../../peft/factors.ts'
import { localStepsOf } from '../../training/spec.ts'
import { norm } from '../../kernels/index.ts'
import { vector } from '../../training/saved-state.ts'
import { dataByName } from '../../tensor/tensor.ts'
import type { NamedTensor } from '../../tensor/tensor.ts'
import type { LoraPlan, PeftPlan } from './plan.ts'
import type { Predictions, SiteInit, SiteMethod } from '../method.ts'
import type { Rows } from '../../data/dataset.ts'
import type { SavedState } from '../../training/saved-state.ts'
import type { TaskLoss } from '../../backbone/frames.ts'
import type { Weights } from '../../training/unit.ts'
import type { WholePass } from '../../training/whole-model.ts'

/** Longest gradient of all adapters together: the spec's clipping. */
const LONGEST = 1

type Told = ReadonlyMap<string, Float32Array>

export class PeftSite implements SiteMethod {
  readonly #init: SiteInit
  readonly #plan: PeftPlan
  readonly #rank: number
  readonly #model: WholeModel
  /** Name of the trunk, once it is frozen. */
  #base: string | undefined

  constructor (init: SiteInit, plan: PeftPlan) {
    const { backend, charter: { model, training, seed }, data, seat, start = [] } = init
    this.#init = init
    this.#plan = plan
    this.#rank = plan.rankOf(seat.rank)
    this.#model = new WholeModel(backend, data, model, { seed, training, rate: training.lrLocal, start, tune: (trunk, tokens) => plan.tune(trunk, tokens, this.#rank) })
    for (const [layer, size] of plan.lora?.layers ?? []) {
      this.#unit(factorName(layer, 'A', this.#rank)).start(plan.startOfA(layer, size, 0).subarray(0, this.#rank * size.inputs))
    }
  }

  get units (): readonly Weights[] { return this.#model.units }

  async contribute (step: number): Promise<{ sent: readonly NamedTensor[], losses: readonly TaskLoss[] }> {
    const warm = step < this.#plan.warm
    this.#model.freeze(this.#still(warm))
    const sending = this.units.filter(({ name }) => this.#model.moves(name) && this.#travels(name))
    const before = sending.map(({ parameters }) => parameters.slice())
    const steps = localStepsOf(this.#init.charter.training)
    const losses: TaskLoss[] = []
    for (let local = step * steps; local < (step + 1) * steps; local++) losses.push(...(await this.#learn(local)).losses)
    const sent = sending.map(({ name, parameters }, i) => vector(name, difference(parameters, before[i] as Float32Array)))
    return { sent: warm ? sent : [...sent, vector(BASE, digitsOf([this.#named()]))], losses }
  }

  /** @throws {ProtocolError} the host's adapters were made for another base */
  receive (step: number, told: readonly NamedTensor[]): void {
    if (told.length === 0) {
      for (const unit of this.units) if (unit.name === TRUNK || this.#travels(unit.name)) unit.set(unit.startValues())
      this.#base = undefined
    } else this.#take(dataByName(told))
    if (this.#plan.lora?.rule.into === 'base') this.#startAgain(this.#plan.lora, step)
  }

  async predict (rows: Rows): Promise<Predictions> { return await this.#model.predict(rows) }

  save (): NamedTensor[] { return this.#base === undefined ? [] : [vector(BASE, digitsOf([this.#base]))] }

  load (saved: SavedState): void {
    const digits = saved.find(BASE)
    this.#base = digits === undefined ? undefined : namesOf(digits)[0]
  }

  dispose (): void { this.#model.dispose() }

  /** One gradient step of all that moves. */
  async #learn (local: number): Promise<WholePass> {
    const pass = await this.#model.pass(this.#init.batch(local))
    this.#init.protect('the pieces of a batch', pass.pieces.data)
    const moving = this.units.filter(({ name }) => this.#model.moves(name))
    const length = Math.hypot(...moving.flatMap(({ name }) => isAdapter(name) ? [norm(pass.gradients.get(name) as Float32Array)] : []))
    for (const unit of moving) {
      const whole = pass.gradients.get(unit.name) as Float32Array
      const gradient = isAdapter(unit.name) && length > LONGEST ? whole.map(value => value * LONGEST / length) : whole
      const stays = !this.#travels(unit.name)
      if (stays) this.#init.protect(`the gradient of ${unit.name}`, gradient)
      unit.learn(gradient, local)
      if (stays) this.#init.protect(`the weights of ${unit.name}`, unit.parameters)
    }
    return pass
  }

  /** Units that no step moves now. */
  #still (warm: boolean): ReadonlySet<string> {
    const fixed = this.#plan.lora?.rule.trains.includes('A') === false ? [...this.#plan.lora.layers.keys()].map(layer => factorName(layer, 'A', this.#rank)) : []
    return new Set(warm ? this.units.flatMap(({ name }) => isAdapter(name) ? [name] : []) : [TRUNK, ...fixed])
  }

  /** Whether the charter shares a unit; the trunk travels in warm steps. */
  #travels (name: string): boolean { return name === TRUNK || name.startsWith('peft/') || this.#plan.rest.has(name) }

  #named (): string {
    this.#base ??= baseOf(this.#unit(TRUNK).parameters)
    return this.#base
  }

  #take (told: Told): void {
    const { lora, rest, adapters } = this.#plan
    const base = told.has(BASE) ? namesOf(told.get(BASE) as Float32Array)[0] : undefined
    const trunk = told.get(TRUNK)
    if (trunk !== undefined) {
      this.#set(TRUNK, trunk)
      this.#base = base
    } else if (base !== undefined) this.#follow(base, told)
    for (const name of [...rest.keys(), ...lora === undefined ? adapters.keys() : []]) {
      const values = told.get(name)
      if (values !== undefined && this.units.some(unit => unit.name === name)) this.#set(name, values)
    }
    if (lora !== undefined) this.#takeFactors(lora, told)
  }

  /** The host's pair, of which a lower rank has the first rows and columns. */
  #takeFactors ({ layers, rank }: LoraPlan, told: Told): void {
    for (const [layer, { inputs }] of layers) {
      const [a, b] = [told.get(factorName(layer, 'A', rank)), told.get(factorName(layer, 'B', rank))]
      if (a !== undefined) this.#set(factorName(layer, 'A', this.#rank), a.subarray(0, this.#rank * inputs))
      if (b !== undefined) this.#set(factorName(layer, 'B', this.#rank), columnsOf(b, rank, this.#rank))
    }
  }

  /** Goes along to the base that the host has now: the same one, or this one with a stack added to it. */
  #follow (base: string, told: Told): void {
    const held = this.#named()
    if (held === base) return // told before
    const { lora } = this.#plan
    const from = told.get(FROM)
    if (lora === undefined || from === undefined || nextBase(held, namesOf(from)) !== base) {
      throw new ProtocolError(`the host's adapters were made for base ${base}, this site holds ${held}`, { next: 'start both from the same weights' })
    }
    const unit = this.#unit(TRUNK)
    unit.set(withStack(unit.parameters, this.#plan, lora, told))
    this.#base = base
  }

  /** A fresh A, B = 0, and an optimiser that remembers nothing. */
  #startAgain ({ layers }: LoraPlan, step: number): void {
    for (const [layer, size] of layers) {
      const a = this.#plan.startOfA(layer, size, step).subarray(0, this.#rank * size.inputs)
      for (const [role, parameters] of [['A', a], ['B', new Float32Array(size.outputs * this.#rank)]] as const) {
        const unit = this.#unit(factorName(layer, role, this.#rank))
        const moments = unit.moments ? { first: new Float32Array(parameters.length), second: new Float32Array(parameters.length) } : {}
        unit.load({ parameters: parameters.slice(), optimiser: { step: 0, ...moments } })
      }
    }
  }

  #set (name: string, values: Float32Array): void {
    const unit = this.#unit(name)
    if (unit.parameters.length !== values.length) throw new ProtocolError(`the host sent ${name} with ${values.length} numbers, here it has ${unit.parameters.length}`)
    unit.set(values)
  }

  #unit (name: string): Weights { return this.units.find(unit => unit.name === name) as Weights }
}

function isAdapter (name: string): boolean { return name.startsWith('peft/') || name.startsWith('own/') }

/** The trunk with a stack added to it. Site and host do the same arithmetic on the same numbers, and hold the same bits. */
export function withStack (trunk: Float32Array, plan: PeftPlan, { layers }: LoraPlan, stack: Told): Float32Array {
  const merged = trunk.slice()
  for (const [layer, size] of layers) {
    const [a, b] = [stack.get(stackName(layer, 'A')), stack.get(stackName(layer, 'B'))]
    if (a === undefined || b === undefined || a.length % size.inputs !== 0 || a.length / size.inputs !== b.length / size.outputs) throw new ProtocolError(`the host sent no stack that fits ${layer}`)
    mergeInto(plan.weightOf(merged, layer), factorsOf(a, b, size), plan.scale)
  }
  return merged
}
