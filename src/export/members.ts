/**
 * Which models a site's checkpoint holds, ready for inference: parts side by side, normalisations folded. What a checkpoint
 * holds is the charter's business: one model, a personal one, a method's, or the client's half of a split one.
 */
import { InvalidParametersError } from '../errors.ts'
import { TRUNK_PREFIX, formOf } from '../models/form.ts'
import { ATTACKED_AFFINE, ATTACKED_STATISTICS, STATISTICS } from '../training/dual-model.ts'
import { embedUnit, inputName } from '../models/inputs.ts'
import { affineGraph, mixed, normsOf, statisticsGraph, withAffine, withStatistics } from '../models/batch-norm.ts'
import type { Charter } from '../federation/charter.ts'
import type { InputSpec } from '../data/dataset.ts'
import type { ModelSpec } from '../models/spec.ts'
import type { SavedState } from '../training/saved-state.ts'
import type { TaskSpec } from '../tasks/task.ts'

/** Both from 0 to 1. */
export interface ExportWish {
  readonly width: number
  readonly robustness: number
}

export interface Members {
  /** Form of every member, and what it reads. */
  readonly model: ModelSpec
  readonly input: InputSpec
  /** Tasks that the site has a head for. */
  readonly tasks: readonly TaskSpec[]
  /** Flat parameters, parts in the order of `formOf`. */
  readonly members: readonly Float32Array[]
}

export interface MemberInit {
  readonly model: ModelSpec
  readonly input: InputSpec
  readonly tasks: readonly TaskSpec[]
  /** Before the names of the units. */
  readonly prefix: string
  readonly robustness: number
}

/**
 * What the site reads, and the charter's model as it is for that.
 * @throws {InvalidParametersError} it reads several inputs, or none that was saved
 */
export function siteForm ({ model, input, inputs }: Pick<Charter, 'model' | 'input' | 'inputs'>, saved: SavedState, prefix: string): Pick<MemberInit, 'model' | 'input'> {
  if (inputs === undefined) return { model, input }
  const [own, ...others] = inputs.filter(each => saved.has(`${prefix}${embedUnit(each)}`))
  if (own === undefined || others.length > 0) throw new InvalidParametersError(`the site reads ${own === undefined ? 'none' : 'several'} of the charter's inputs: that is no model for rows of one form`, { next: 'serve from the running node instead' })
  const { embedders, ...rest } = model
  return { input: own, model: { ...rest, embedder: embedders?.[inputName(own)] ?? model.embedder, sharedEmbedder: false } }
}

/** Tasks whose head was saved. @throws {InvalidParametersError} none was: this is no such model's checkpoint */
export function savedTasks (saved: SavedState, tasks: readonly TaskSpec[], prefix: string): readonly TaskSpec[] {
  const own = tasks.filter(({ id }) => saved.has(`${prefix}head/${id}`))
  if (own.length === 0) throw new InvalidParametersError('the checkpoint holds no single model that answers the charter\'s tasks', { next: 'serve from the running node instead' })
  return own
}

/** @throws {InvalidParametersError} more than a run of one plain model has */
export function refuseMixture ({ width, robustness }: ExportWish): void {
  if (width !== 1) throw new InvalidParametersError('this run trained one model of one width', { next: 'leave --width out, or train with strategy split-mix' })
  if (robustness !== 0) throw new InvalidParametersError('this run trained no normalisations for attacked rows: its robustness is 0', { next: 'leave --robustness out, or train with strategy split-mix-robust or fedrbn' })
}

/**
 * One model, under normalisations for clean rows (0), attacked ones (1), or in between.
 * @throws {InvalidParametersError} a part is missing or of another model, or robustness that nobody trained
 */
export function memberIn (saved: SavedState, { model, input, tasks, prefix, robustness }: MemberInit): Float32Array {
  const { parts, whole } = formOf(model, input, tasks)
  const flat = new Float32Array(whole.parameterCount)
  let at = 0
  for (const [name, { parameterCount }] of parts) {
    flat.set(saved.need(`${prefix}${name}`, parameterCount), at)
    at += parameterCount
  }
  const norms = normsOf(whole, TRUNK_PREFIX)
  const batch = model.norm === 'batch'
  const statistics = (name: string): Float32Array => saved.need(`${prefix}${name}`, statisticsGraph(norms).parameterCount)
  const clean = batch ? withStatistics(norms, flat, statistics(STATISTICS)) : flat
  if (robustness === 0) return clean
  const [affine, own] = [saved.has(`${prefix}${ATTACKED_AFFINE}`), saved.has(`${prefix}${ATTACKED_STATISTICS}`)]
  if (!affine && !own) throw new InvalidParametersError('this run trained no normalisations for attacked rows: its robustness is 0', { next: 'leave --robustness out, or train with strategy split-mix-robust or fedrbn' })
  const under = affine ? withAffine(norms, flat, saved.need(`${prefix}${ATTACKED_AFFINE}`, affineGraph(norms).parameterCount)) : flat
  return mixed(clean, batch ? withStatistics(norms, under, statistics(ATTACKED_STATISTICS)) : under, robustness)
}
