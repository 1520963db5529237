/** Model settings as a charter fixes them; every peer builds the same parts from them and from the charter's seed. */
import { createHash } from 'node:crypto'
import { InvalidParametersError } from '../errors.ts'
import { NO_EMBEDDER, NO_TRUNK } from './linear.ts'
import { inputName } from './inputs.ts'
import { parseFoundation, readsInput } from '../foundation/spec.ts'
import type { FoundationSpec } from '../foundation/spec.ts'
import type { InputSpec } from '../data/dataset.ts'

export interface BackboneSpec {
  /** Numbers per token, D. */
  readonly width: number
  /** Pre-norm transformer blocks. */
  readonly layers: number
  readonly heads: number
  /** Width of a block's feed-forward layer. */
  readonly hidden: number
  /** false leaves out attention: residual feed-forward blocks, for inputs of one token (tables). */
  readonly attention: boolean
  /** A model trained elsewhere, whose weights training starts from. Left out: a trunk of our own, from the charter's seed. */
  readonly foundation?: FoundationSpec
}

export interface EmbedderSpec {
  /** patches: windows of a picture; windows: of a series; row: a table row as one token; columns: a token per column; tokens: hashed words. */
  readonly kind: 'patches' | 'windows' | 'row' | 'columns' | 'tokens'
  readonly patch: number
  readonly stride: number
  readonly padding: number
  /** tokens only: how many tokens one embedding sees, itself in the middle; an odd number. Left out: 1. */
  readonly taps?: number
  /** That of the foundation model which is the trunk; it reads patches or word pieces in its own way. */
  readonly foundation?: FoundationSpec
}

export interface ModelSpec {
  /**
   * linear: one linear layer per task on hashed words or columns, at the client, and no trunk; backbone, embedder, adapter and
   * dropout are then what stands in for none. Left out: embedder, trunk and heads.
   */
  readonly kind?: 'linear'
  readonly backbone: BackboneSpec
  /**
   * Where the trunk is placed. Left out: at the host, and the model is split. 'client': every client holds the whole model
   * and trains it alone between two exchanges.
   */
  readonly trunk?: 'client'
  readonly embedder: EmbedderSpec
  /** Where a consortium has several inputs: embedders of those beside the first, by the input's name. */
  readonly embedders?: Readonly<Record<string, EmbedderSpec>>
  /** Adapter between features and heads at the client: width of its bottleneck, 0 for none. */
  readonly adapter: number
  /** Share of activations and features dropped while training, at the client's two ends of the cut; a whole model has none. */
  readonly dropout: number
  /** Embedder averaged every step over the clients of one input; private otherwise. A list: of these inputs, by name. */
  readonly sharedEmbedder: boolean | readonly string[]
  /** Tasks whose head is averaged every step over the clients that have the task. */
  readonly sharedHeads: readonly string[]
  /**
   * Split models only: tasks whose shared head is corrected at every client by a private one of the same form, which starts at
   * 0 and decays ten times as fast. Left out: none.
   */
  readonly correctedHeads?: readonly string[]
  /**
   * Whole models only: batch normalisations in the trunk, with running statistics, in place of layer normalisations. Where sites
   * train together a method must say what becomes of the statistics. Left out: layer normalisations.
   */
  readonly norm?: 'batch'
  /** Whole models only: gains and biases of normalisations stay at the client, in shared units too. Left out: they are shared. */
  readonly privateNorms?: true
}

const BACKBONE: BackboneSpec = { width: 48, layers: 2, heads: 4, hidden: 96, attention: true }
const EMBEDDER_OF = { image: 'patches', table: 'row', series: 'windows', tokens: 'tokens' } as const
const EMBEDDERS: ReadonlyArray<EmbedderSpec['kind']> = ['patches', 'windows', 'row', 'columns', 'tokens']
const DEFAULT_PATCH = 8
/** Every tap takes a table of its own; the trunk's attention sees further. */
const MAX_TAPS = 7
const KNOWN = ['kind', 'width', 'layers', 'heads', 'hidden', 'attention', 'norm', 'embedder', 'embedders', 'adapter', 'dropout', 'sharedEmbedder', 'sharedHeads', 'correctedHeads', 'privateNorms', 'trunk', 'foundation']

/**
 * Reads the `model` section of a recipe or charter; unset keys take defaults that fit the input.
 * @param inputs - where there are several: all of them, `input` first
 * @throws {InvalidParametersError} an unknown key or a value that cannot be
 */
export function parseModelSpec (raw: Readonly<Record<string, unknown>>, input: InputSpec, inputs: readonly InputSpec[] = [input]): ModelSpec {
  refuseUnknown('model', raw, KNOWN)
  const { kind = 'deep' } = raw
  if (kind !== 'deep' && kind !== 'linear') throw new InvalidParametersError(`model.kind must be deep or linear, got ${String(kind)}`)
  if (kind === 'linear') return linearSpec(raw, input, inputs)
  const foundation = raw.foundation === undefined ? undefined : parseFoundation(raw.foundation)
  const whole = (key: 'width' | 'layers' | 'heads' | 'hidden'): number => count(`model.${key}`, raw[key] ?? BACKBONE[key], 1)
  const backbone = {
    width: whole('width'),
    layers: whole('layers'),
    heads: whole('heads'),
    hidden: whole('hidden'),
    attention: foundation !== undefined || flag('model.attention', raw.attention ?? inputs.some(({ modality }) => modality !== 'table')),
    ...foundation === undefined ? {} : { foundation }
  }
  const { width, heads, attention } = backbone
  if (attention && width % heads !== 0) throw new InvalidParametersError(`model.width ${width} does not divide by model.heads ${heads}`, { next: 'choose a width that is a multiple of the heads' })
  const { norm = 'layer', dropout = 0, trunk = 'host' } = raw
  if (norm !== 'layer' && norm !== 'batch') throw new InvalidParametersError(`model.norm must be layer or batch, got ${String(norm)}`)
  if (typeof dropout !== 'number' || !(dropout >= 0 && dropout < 1)) throw new InvalidParametersError(`model.dropout must be a number from 0 and below 1, got ${String(dropout)}`)
  if (trunk !== 'host' && trunk !== 'client') throw new InvalidParametersError(`model.trunk must be host or client, got ${String(trunk)}`)
  if (norm === 'batch' && trunk === 'host') throw new InvalidParametersError('model.norm batch needs the whole model at the client: at a host the rows of one client would change the features of another', { next: 'set model.trunk to client, or leave norm out' })
  if (foundation !== undefined) checkFoundation(foundation, inputs, { trunk, norm })
  return {
    backbone,
    ...trunk === 'client' ? { trunk } : {},
    ...norm === 'batch' ? { norm } : {},
    embedder: embedderFor('model.embedder', raw.embedder ?? {}, input, foundation),
    ...embeddersOf(raw.embedders ?? {}, inputs.slice(1), foundation),
    adapter: count('model.adapter', raw.adapter ?? 0, 0),
    dropout,
    sharedEmbedder: sharedOf(raw.sharedEmbedder ?? false, inputs),
    sharedHeads: headList(raw, 'sharedHeads'),
    ...correctedOf(raw),
    ...flag('model.privateNorms', raw.privateNorms ?? false) ? { privateNorms: true } : {}
  }
}

/** The foundation model's own for the inputs that it reads: what a recipe says of theirs is passed over. */
function embedderFor (section: string, raw: unknown, input: InputSpec, foundation: FoundationSpec | undefined): EmbedderSpec {
  if (foundation === undefined || !readsInput(foundation, input)) return parseEmbedder(section, raw, input)
  const { pictures } = foundation
  return { ...parseEmbedder(section, pictures === undefined ? {} : { kind: 'patches', patch: pictures.patch }, input), foundation }
}

/** @throws {InvalidParametersError} nothing that the model could read, or no place for it */
function checkFoundation (foundation: FoundationSpec, inputs: readonly InputSpec[], { trunk, norm }: { trunk: string, norm: string }): void {
  const { family, texts } = foundation
  const refuse = (why: string, next: string): never => { throw new InvalidParametersError(why, { next }) }
  if (!inputs.some(input => readsInput(foundation, input))) refuse(`a ${family} model reads ${texts === undefined ? 'pictures' : 'texts'}, the data are ${inputs.map(({ modality, shape }) => `${modality} of [${shape.join(', ')}]`).join(' and ')}`, 'choose another foundation model, or other data')
  if (norm === 'batch') refuse('model.norm batch is not what model.foundation was trained with', 'leave model.norm out')
  if (texts === undefined) return
  if (trunk === 'host') refuse('model.foundation of texts needs the whole model at the client: which tokens are padding does not travel to a host', 'set model.trunk to client, as --strategy fedavg does')
  if (inputs.length > 1) refuse('model.foundation of texts takes one kind of input: others do not say which of their tokens are padding', 'leave the other inputs out, or choose a model of pictures')
}

/** Settings of a trunk that a recipe brings along are passed over. */
function linearSpec (raw: Readonly<Record<string, unknown>>, input: InputSpec, inputs: readonly InputSpec[]): ModelSpec {
  if (inputs.length > 1) throw new InvalidParametersError(`model.kind linear reads one kind of input, there are ${inputs.map(inputName).join(', ')}`, { next: 'leave model.kind out' })
  const { trunk = 'client' } = raw
  if (trunk !== 'client') throw new InvalidParametersError('model.kind linear has no trunk that a host could hold', { next: 'leave model.trunk out' })
  if (raw.foundation !== undefined) throw new InvalidParametersError('model.kind linear has no trunk that model.foundation could be', { next: 'leave either out' })
  if (raw.privateNorms === true) throw new InvalidParametersError('model.privateNorms: a linear model has no normalisations', { next: 'leave it out' })
  correctedOf({ ...raw, trunk })
  return { kind: 'linear', backbone: NO_TRUNK, trunk, embedder: NO_EMBEDDER, adapter: 0, dropout: 0, sharedEmbedder: input.modality === 'tokens', sharedHeads: headList(raw, 'sharedHeads') }
}

function headList (raw: Readonly<Record<string, unknown>>, key: 'sharedHeads' | 'correctedHeads'): string[] {
  const tasks = raw[key] ?? []
  if (!Array.isArray(tasks) || !tasks.every(task => typeof task === 'string')) throw new InvalidParametersError(`model.${key} must be a list of task ids`)
  return tasks as string[]
}

/** A correction of what is not shared would be a second head of the same client. */
function correctedOf (raw: Readonly<Record<string, unknown>>): Pick<ModelSpec, 'correctedHeads'> {
  const corrected = headList(raw, 'correctedHeads')
  if (corrected.length === 0) return {}
  const shared = headList(raw, 'sharedHeads')
  const alone = corrected.find(task => !shared.includes(task))
  if (alone !== undefined) throw new InvalidParametersError(`model.correctedHeads: the head of ${alone} is private already`, { next: 'share it with model.sharedHeads, or leave it out' })
  if (raw.trunk === 'client') throw new InvalidParametersError('model.correctedHeads needs a split model', { next: 'set model.trunk to host, or leave correctedHeads out' })
  return { correctedHeads: corrected }
}

/** All of them where all are shared, none where none is: one way to write each. */
function sharedOf (raw: unknown, inputs: readonly InputSpec[]): ModelSpec['sharedEmbedder'] {
  if (!Array.isArray(raw)) return flag('model.sharedEmbedder', raw)
  const names = inputs.map(inputName)
  const unknown = raw.find(name => !names.includes(name as string))
  if (unknown !== undefined) throw new InvalidParametersError(`model.sharedEmbedder: there is no input ${String(unknown)}`, { next: `inputs: ${names.join(', ')}` })
  const shared = names.filter(name => raw.includes(name))
  return shared.length === 0 ? false : shared.length === names.length ? true : shared
}

function embeddersOf (raw: unknown, others: readonly InputSpec[], foundation: FoundationSpec | undefined): Pick<ModelSpec, 'embedders'> {
  const names = others.map(inputName)
  if (raw === null || typeof raw !== 'object' || Array.isArray(raw)) throw new InvalidParametersError(`model.embedders must be a section of settings, got ${String(raw)}`)
  const sections = raw as Readonly<Record<string, unknown>>
  refuseUnknown('model.embedders', sections, names)
  return names.length === 0 ? {} : { embedders: Object.fromEntries(others.map((input, i) => [names[i] as string, embedderFor(`model.embedders.${names[i]}`, sections[names[i] as string] ?? {}, input, foundation)])) }
}

function parseEmbedder (section: string, raw: unknown, input: InputSpec): EmbedderSpec {
  if (raw === null || typeof raw !== 'object' || Array.isArray(raw)) throw new InvalidParametersError(`${section} must be a section of settings, got ${String(raw)}`)
  refuseUnknown(section, raw, ['kind', 'patch', 'stride', 'padding', 'taps'])
  const { kind = EMBEDDER_OF[input.modality], patch = DEFAULT_PATCH, stride = patch, padding = 0, taps = 1 } = raw as Partial<EmbedderSpec>
  if (!EMBEDDERS.includes(kind)) throw new InvalidParametersError(`${section}.kind cannot be '${String(kind)}'`, { next: `use one of ${EMBEDDERS.join(', ')}` })
  if (count(`${section}.taps`, taps, 1) % 2 === 0 || taps > MAX_TAPS) throw new InvalidParametersError(`${section}.taps must be odd, from 1 to ${MAX_TAPS}, got ${taps}`)
  if (taps > 1 && kind !== 'tokens') throw new InvalidParametersError(`${section}.taps are for tokens, the embedder is of kind ${kind}`, { next: 'leave taps out' })
  return {
    kind,
    patch: count(`${section}.patch`, patch, 1),
    stride: count(`${section}.stride`, stride, 1),
    padding: count(`${section}.padding`, padding, 0),
    ...taps > 1 ? { taps } : {}
  }
}

/** @throws {InvalidParametersError} a key that is no setting of this section */
export function refuseUnknown (section: string, raw: object, known: readonly string[]): void {
  for (const key of Object.keys(raw)) {
    if (!known.includes(key)) throw new InvalidParametersError(`${section}.${key} is not a setting`, { next: `known: ${known.join(', ')}` })
  }
}

/** A size: far more than any model here needs still fits in 16 bits. */
function count (name: string, value: unknown, least: number): number {
  if (!Number.isInteger(value) || (value as number) < least || (value as number) > 65536) throw new InvalidParametersError(`${name} must be a whole number from ${least}, got ${String(value)}`)
  return value as number
}

/** Only true and false: the word 'false' must not share what is private. */
function flag (name: string, value: unknown): boolean {
  if (typeof value !== 'boolean') throw new InvalidParametersError(`${name} must be true or false, got ${String(value)}`)
  return value
}

/** Short hash naming a model on the wire: two peers that print the same one mean the same backbone. */
export function specHash (value: unknown): string {
  return createHash('sha256').update(canonicalJson(value)).digest('hex').slice(0, 16)
}

/** JSON with sorted keys. */
export function canonicalJson (value: unknown): string {
  return JSON.stringify(value, (_, entry: unknown) =>
    entry !== null && typeof entry === 'object' && !Array.isArray(entry)
      ? Object.fromEntries(Object.entries(entry).sort(([a], [b]) => a < b ? -1 : 1))
      : entry)
}
