/**
 * The models that a site can choose from: its own, and what it took from peers, each as its answers to the site's private
 * rows. In the order of (peer, model, version), whatever came first. Above the cap the least accurate leaves that is neither
 * the site's own nor in a committee; which of several newcomers stay does not depend on who came first.
 */
import { byOrigin } from './card.ts'
import type { Architecture } from './spec.ts'
import type { CardDraft, CardTask, ModelCard } from './card.ts'
import type { EvaluationSplit } from '../training/client-trainer.ts'
import type { TensorData } from '../tensor/tensor.ts'

/** By split and task: linked outputs (probabilities, original units), rows in the site's order, positions in the task's. */
export type Answers = ReadonlyMap<EvaluationSplit, ReadonlyMap<string, TensorData>>

export interface BenchEntry {
  readonly card: CardDraft
  /** Trained here. */
  readonly own: boolean
  /** On the hold-out, mean over the tasks in common; NaN without labels there. */
  readonly accuracy: number
  readonly answers: Answers
}

export interface BenchInit {
  /** Whose bench it is, as cards name it. */
  readonly peer: string
  readonly cap: number
  readonly maxBytes: number
  readonly architectures: readonly Architecture[]
  /** Of the consortium. */
  readonly tasks: readonly CardTask[]
  /** Of this site. */
  readonly ownTasks: readonly string[]
  /** Weights of a model of this architecture with heads for these tasks. */
  readonly parametersOf: (architecture: Architecture, tasks: readonly string[]) => number
}

/** Yes or no, and why in one line. */
export interface Verdict {
  readonly kept: boolean
  readonly reason: string
}

/** A peer's models are told apart by the architecture that each is of: none can put two of one there. */
export function modelIdOf (architecture: number): string { return `model-${architecture + 1}` }

export class ModelBench {
  readonly #init: BenchInit
  readonly #entries = new Map<string, BenchEntry>()
  /** Newest version that was taken, by model: one that had to leave is not taken again. */
  readonly #seen = new Map<string, number>()
  #seated: ReadonlySet<string> = new Set()

  constructor (init: BenchInit) { this.#init = init }

  /** In the order of origin. */
  get entries (): readonly BenchEntry[] { return [...this.#entries.values()].sort((a, b) => byOrigin(a.card, b.card)) }

  /** Whether a model is worth pulling, by what its card says. */
  wanted (card: ModelCard): { readonly wanted: boolean, readonly reason: string } {
    const why = this.#refusal(card)
    return { wanted: why === undefined, reason: why ?? `version ${card.version} is new here` }
  }

  /** A newer version replaces; above the cap somebody leaves, which may be the newcomer. */
  put (entry: BenchEntry): Verdict {
    const key = keyOf(entry.card)
    this.#entries.set(key, entry)
    this.#seen.set(key, entry.card.version)
    if (this.#entries.size <= this.#init.cap) return { kept: true, reason: `one of ${this.#entries.size} models on the bench` }
    const leaver = this.entries
      .filter(({ own, card }) => !own && !this.#seated.has(keyOf(card)))
      .sort((a, b) => merit(a) - merit(b))[0]
    if (leaver === undefined) return { kept: true, reason: 'all others are in a committee' } // the cap has room for the site's own and a committee
    this.#entries.delete(keyOf(leaver.card))
    return leaver === entry
      ? { kept: false, reason: `the bench is full with ${this.#init.cap} models, and all are at least as accurate here` }
      : { kept: true, reason: `in the place of ${leaver.card.modelId} of ${leaver.card.peer}, the least accurate here` }
  }

  /** These are in a committee: they stay until others are. */
  seat (members: readonly BenchEntry[]): void { this.#seated = new Set(members.map(({ card }) => keyOf(card))) }

  /** Newest version taken of each model that is on the bench no more. */
  get gone (): ReadonlyMap<string, number> { return new Map([...this.#seen].filter(([key]) => !this.#entries.has(key))) }

  /** Undoes what `gone` said, after a restart. */
  forget (gone: ReadonlyMap<string, number>): void { for (const [key, version] of gone) this.#seen.set(key, version) }

  #refusal (card: ModelCard): string | undefined {
    const { peer, maxBytes, architectures, tasks, ownTasks, parametersOf } = this.#init
    if (card.peer === peer) return 'it is from here'
    const index = architectures.findIndex(({ id }, i) => id === card.arch && modelIdOf(i) === card.modelId)
    if (index < 0) return `${card.modelId} of architecture ${card.arch} is none of the charter's`
    if (card.bytes > maxBytes) return `${card.bytes} bytes, the charter allows ${maxBytes}`
    if (new Set(card.tasks.map(({ id }) => id)).size !== card.tasks.length) return 'it names a task twice'
    const foreign = card.tasks.find(({ id, space }) => tasks.find(task => task.id === id)?.space !== space)
    if (foreign !== undefined) return `its labels of task ${foreign.id} are not those of the charter`
    if (!card.tasks.some(({ id }) => ownTasks.includes(id))) return `it answers ${card.tasks.map(({ id }) => id).join(', ')}, none of which is trained here`
    const parameters = parametersOf(architectures[index] as Architecture, card.tasks.map(({ id }) => id))
    if (card.parameters !== parameters) return `${card.parameters} weights, a model of this architecture has ${parameters}`
    const have = this.#seen.get(keyOf(card))
    return have !== undefined && card.version <= have ? `version ${card.version} is not newer than ${have}, which was here before` : undefined
  }
}

export function keyOf ({ peer, modelId }: Pick<ModelCard, 'peer' | 'modelId'>): string { return `${peer}/${modelId}` }

function merit ({ accuracy }: BenchEntry): number { return Number.isNaN(accuracy) ? -Infinity : accuracy }
