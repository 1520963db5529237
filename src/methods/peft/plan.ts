/**
 * What of a tuned model travels, worked out from the charter alone, the same at every peer. Per adapted matrix and step, in
 * numbers of four bytes (r_k: of the site, r: of the host):
 *
 *              up                 down
 *     fedit    r (in + out)       r (in + out)
 *     ffa      r_k out            r out
 *     flora    r_k (in + out)     (in + out) sum_k r_k, at most rankMax (in + out)
 *     svd      r_k (in + out)     r (in + out)              zero-pad too
 *     adapter  2 d b + b + d      prompt  n d               each way
 *
 * and beside them what the charter shares of embedder and heads, and the name of the base.
 */
import { deriveSeed } from '../../random.ts'
import { NAME_NUMBERS } from '../../peft/base.ts'
import { createEmbedder } from '../../models/embedder.ts'
import { factorName, factorUnit, withLora } from '../../peft/lora.ts'
import { initialise } from '../../models/parameters.ts'
import { ruleOf } from './options.ts'
import { layersOf, targeted } from '../../peft/rewrite.ts'
import { totalSteps } from '../../training/spec.ts'
import { wholeUnits } from '../../models/units.ts'
import { withAdapters } from '../../peft/adapter.ts'
import { withPrompt } from '../../peft/prompt.ts'
import { numbersOf } from '../../graph/graph.ts'
import type { Charter } from '../../federation/charter.ts'
import type { DenseSize } from '../../peft/factors.ts'
import type { Graph } from '../../graph/graph.ts'
import type { LoraOptions, PeftOptions } from './options.ts'
import type { LoraRule, Role } from '../../peft/rules/index.ts'
import type { Tuned } from '../../peft/rewrite.ts'

export const TRUNK = 'trunk'
/** A random trunk teaches adapters little: so much of the run makes one where the charter does not say. */
const WARM = 0.25
/** Where the charter does not say: of these, the trunk of a table has the last two. */
const TARGETS = ['query', 'value', 'up', 'down']
/** Name of the base that adapters were made for. */
export const BASE = 'peft/base'
/** Names of the adapters that a stack is made of. */
export const FROM = 'peft/from'

/** One layer's half of a stack: its rank is what came together. */
export function stackName (layer: string, role: Role): string { return `peft/${layer}/${role.toLowerCase()}` }

/** Adapted layers, and how their factors become one. */
export interface LoraPlan {
  readonly options: LoraOptions
  readonly rule: LoraRule
  readonly layers: ReadonlyMap<string, DenseSize>
  /** Of the host's pair: the largest. */
  readonly rank: number
}

export class PeftPlan {
  readonly options: PeftOptions
  /** Steps in which the whole model is trained. */
  readonly warm: number
  readonly lora: LoraPlan | undefined
  /** Adapters that hosts hold. A rule that adds them to the base leaves none to hold. */
  readonly adapters: ReadonlyMap<string, Graph>
  /** What the charter shares of embedder and heads. */
  readonly rest: ReadonlyMap<string, Graph>
  readonly #charter: Charter
  readonly #trunk: Graph

  /** @throws {InvalidParametersError} the adapters do not fit the charter's trunk */
  constructor (charter: Charter, options: PeftOptions) {
    this.#charter = charter
    this.options = options
    const { [TRUNK]: trunk, ...rest } = Object.fromEntries(wholeUnits(charter))
    this.#trunk = trunk as Graph
    this.rest = new Map(Object.entries(rest))
    const { warm = charter.model.backbone.foundation === undefined ? WARM : 0 } = options
    this.warm = warm < 1 ? Math.round(warm * totalSteps(charter.training)) : warm
    this.lora = options.kind !== 'lora'
      ? undefined
      : { options, rule: ruleOf(options.rule), layers: options.targets === undefined ? layersOf(this.#trunk, TARGETS) : targeted(this.#trunk, options.targets), rank: Math.max(...options.ranks ?? [options.rank]) }
    this.adapters = this.lora === undefined
      ? new Map([...this.tune(this.#trunk, this.#tokens, 0).units].filter(([name]) => name.startsWith('peft/')))
      : this.lora.rule.into === 'base' ? new Map() : this.#factors(this.lora.rank)
  }

  rankOf (seat: number): number {
    const { ranks, rank } = this.options as LoraOptions
    return ranks?.[seat % ranks.length] ?? rank
  }

  /** All ranks that sites may have. */
  get ranks (): readonly number[] {
    const { ranks, rank } = this.options as LoraOptions
    return [...new Set(ranks ?? [rank])]
  }

  /** The trunk with adapters in it, of this rank where they have one. */
  tune (trunk: Graph, tokens: number, rank: number): Tuned {
    const { options } = this
    const own = options.personal === true
    switch (options.kind) {
      case 'lora': return withLora(trunk, { layers: this.lora?.layers ?? new Map(), rank, scale: this.scale, own })
      case 'adapter': return withAdapters(trunk, { bottleneck: options.bottleneck, own })
      case 'prompt': return withPrompt(trunk, { prompts: options.prompts, tokens, width: this.#charter.model.backbone.width, own })
    }
  }

  /** s of LoRA. */
  get scale (): number {
    const { alpha, rank } = this.options as LoraOptions
    return alpha / rank
  }

  /** What hosts hold: the base is among it, for whoever comes later, and since flora moves it. */
  get units (): ReadonlyMap<string, Graph> { return new Map([[TRUNK, this.#trunk], ...this.rest, ...this.adapters]) }

  /** What a site may send, the base's name last. */
  get up (): ReadonlyMap<string, number> {
    const { lora } = this
    const adapters = lora === undefined ? [...this.adapters] : this.ranks.flatMap(rank => [...this.#factors(rank)])
    const sizes = [...this.warm > 0 ? [[TRUNK, this.#trunk] as const] : [], ...this.rest, ...adapters].map(([name, { parameterCount }]) => [name, parameterCount] as const)
    return new Map([...sizes, [BASE, NAME_NUMBERS]])
  }

  /** Whether a host may tell so many numbers under a name. Of a stack, as many rows as came together. */
  tells (name: string, numbers: number): boolean {
    if (name === BASE) return numbers === NAME_NUMBERS
    if (this.lora?.rule.into !== 'base') return this.units.get(name)?.parameterCount === numbers
    if (name === FROM) return numbers % NAME_NUMBERS === 0
    for (const [layer, { inputs, outputs }] of this.lora.layers) {
      if (name === stackName(layer, 'A')) return numbers % inputs === 0
      if (name === stackName(layer, 'B')) return numbers % outputs === 0
    }
    return this.units.get(name)?.parameterCount === numbers
  }

  /** Numbers of one site and step, on average over the run. */
  get traffic (): { readonly up: number, readonly down: number } {
    const { lora } = this
    const steps = totalSteps(this.#charter.training)
    const rest = numbersOf(this.rest)
    const mean = (warm: number, tuned: number): number => Math.round((Math.min(steps, this.warm) * warm + Math.max(0, steps - this.warm) * tuned) / steps)
    const adapters = numbersOf(lora === undefined ? this.adapters : this.#factors(lora.rank))
    const whole = this.#trunk.parameterCount + rest
    return { up: mean(whole, adapters + rest + NAME_NUMBERS), down: mean(whole, (lora?.rule.into === 'base' ? this.#stacked(lora) : adapters) + rest + NAME_NUMBERS) }
  }

  /**
   * A as it starts, of the largest rank: the first rows are those of lower ones. Rules that add their stack to the base draw
   * anew for every step.
   */
  startOfA (layer: string, size: DenseSize, step: number): Float32Array {
    const { rank, rule } = this.lora as LoraPlan
    const { seed } = this.#charter
    return initialise(factorUnit(size, 'A', rank), rule.into === 'base' ? deriveSeed(seed, 'peft', step) : seed, factorName(layer, 'A', rank))
  }

  /** A layer's weight within the trunk's flat vector. */
  weightOf (trunk: Float32Array, layer: string): Float32Array {
    const { offset, size } = this.#trunk.parameters.find(({ name }) => name === `${layer}.weight`) as Graph['parameters'][number]
    return trunk.subarray(offset, offset + size)
  }

  #factors (rank: number): ReadonlyMap<string, Graph> {
    const { layers, rule } = this.lora as LoraPlan
    return new Map([...layers].flatMap(([layer, size]) => rule.trains.map(role => [factorName(layer, role, rank), factorUnit(size, role, rank)] as const)))
  }

  /** A stack of all sites' factors, of as many sites as the charter knows of. */
  #stacked ({ layers, options: { ranks = [], rankMax = Infinity } }: LoraPlan): number {
    const sites = Math.max(ranks.length, this.#charter.clock.quorum)
    const rank = Array.from({ length: sites }, (_, seat) => this.rankOf(seat)).reduce((sum, each) => sum + each, 0)
    const sides = [...layers.values()].reduce((sum, { inputs, outputs }) => sum + inputs + outputs, 0)
    return Math.min(rank, rankMax) * sides + sites * NAME_NUMBERS
  }

  get #tokens (): number {
    const { model, input } = this.#charter
    return createEmbedder(model.embedder, input, model.backbone.width).tokens
  }
}

/** The first `rank` columns of B, [out, wide] row by row. */
export function columnsOf (b: Float32Array, wide: number, rank: number): Float32Array {
  return Float32Array.from({ length: b.length / wide * rank }, (_, at) => b[Math.floor(at / rank) * wide + at % rank] as number)
}
