/**
 * What a charter says of a model that was trained elsewhere and is the backbone here: the form of its layers, what its
 * embedder reads, and the hash of its weights. Every peer builds the same graphs from it; the weights themselves are in a
 * file that each site has, written by `fmtl-node import`.
 */
import { FoundationError, InvalidParametersError } from '../errors.ts'
import type { GeluForm } from '../graph/graph.ts'
import type { InputSpec } from '../data/dataset.ts'

/** Vision transformers, DeiT with a second token in front, BERT, and DistilBERT without kinds of tokens. */
export const FAMILIES = ['vit', 'deit', 'bert', 'distilbert'] as const
export type Family = typeof FAMILIES[number]

export interface FoundationSpec {
  readonly family: Family
  readonly activation: GeluForm
  /** Added to the variance by every normalisation. */
  readonly epsilon: number
  /** Of the weights, as ./weights.ts counts it: a site whose file has another one has another model. */
  readonly sha256: string
  /** vit, deit: side of a picture and of a patch, in pixels. */
  readonly pictures?: { readonly size: number, readonly patch: number, readonly channels: number }
  /** bert, distilbert: word pieces that there are, and tokens that a text may have. */
  readonly texts?: { readonly vocabulary: number, readonly positions: number }
}

/** How the blocks of a trunk are built. */
export interface BlockForm {
  readonly epsilon: number
  readonly gelu: GeluForm
  /** Query, key and value have biases. */
  readonly biases: boolean
  /** Normalised after each residual sum, and not before what is added. */
  readonly postNorm: boolean
  /** A second input, [B, N], says which tokens are padding. */
  readonly masked: boolean
}

/** Of a trunk that starts from the charter's seed. */
export const OWN_FORM: BlockForm = { epsilon: 1e-5, gelu: 'sigmoid', biases: false, postNorm: false, masked: false }

export function blockForm (foundation: FoundationSpec | undefined): BlockForm {
  if (foundation === undefined) return OWN_FORM
  const { epsilon, activation } = foundation
  const texts = readsTexts(foundation.family)
  return { epsilon, gelu: activation, biases: true, postNorm: texts, masked: texts }
}

export function readsTexts (family: Family): boolean { return family === 'bert' || family === 'distilbert' }

/** Whether the model's own embedder is for this input. */
export function readsInput ({ pictures }: FoundationSpec, { modality }: Pick<InputSpec, 'modality'>): boolean { return modality === (pictures === undefined ? 'tokens' : 'image') }

/** Tokens in front of a picture's patches. */
export function leadingTokens (family: Family): number { return family === 'deit' ? 2 : 1 }

const GELUS: readonly GeluForm[] = ['sigmoid', 'erf', 'tanh']
/** Far beyond what is published, and small enough for any number made of two of them. */
const MAX_SIZE = 2 ** 20

/**
 * The `model.foundation` section of a charter.
 * @throws {InvalidParametersError} a key that is missing or unknown, a value that cannot be
 */
export function parseFoundation (raw: unknown): FoundationSpec {
  const { family, activation, epsilon, sha256, pictures, texts, ...rest } = section('model.foundation', raw)
  const [unknown] = Object.keys(rest)
  if (unknown !== undefined) throw refusal(`model.foundation.${unknown} is not a setting`)
  if (!(FAMILIES as readonly unknown[]).includes(family)) throw refusal(`model.foundation.family must be one of ${FAMILIES.join(', ')}, got ${String(family)}`)
  if (!(GELUS as readonly unknown[]).includes(activation)) throw refusal(`model.foundation.activation must be one of ${GELUS.join(', ')}, got ${String(activation)}`)
  if (typeof epsilon !== 'number' || !(epsilon > 0 && epsilon < 1)) throw refusal(`model.foundation.epsilon must be a number between 0 and 1, got ${String(epsilon)}`)
  if (typeof sha256 !== 'string' || !/^[0-9a-f]{64}$/.test(sha256)) throw refusal('model.foundation.sha256 must be 64 hex digits')
  const common = { family: family as Family, activation: activation as GeluForm, epsilon, sha256 }
  if (readsTexts(common.family)) {
    if (pictures !== undefined) throw refusal(`model.foundation.pictures: ${common.family} reads texts`)
    const { vocabulary, positions } = section('model.foundation.texts', texts)
    return { ...common, texts: { vocabulary: size('texts.vocabulary', vocabulary), positions: size('texts.positions', positions) } }
  }
  if (texts !== undefined) throw refusal(`model.foundation.texts: ${common.family} reads pictures`)
  const { size: side, patch, channels } = section('model.foundation.pictures', pictures)
  const parsed = { size: size('pictures.size', side), patch: size('pictures.patch', patch), channels: size('pictures.channels', channels) }
  if (parsed.size % parsed.patch !== 0) throw refusal(`model.foundation.pictures: patches of ${parsed.patch} do not divide a side of ${parsed.size}`)
  return { ...common, pictures: parsed }
}

function section (name: string, raw: unknown): Record<string, unknown> {
  if (raw === null || typeof raw !== 'object' || Array.isArray(raw)) throw refusal(`${name} must be a section of settings, got ${String(raw)}`)
  return raw as Record<string, unknown>
}

function size (name: string, value: unknown): number {
  if (!Number.isInteger(value) || (value as number) < 1 || (value as number) > MAX_SIZE) throw refusal(`model.foundation.${name} must be a whole number from 1 to ${MAX_SIZE}, got ${String(value)}`)
  return value as number
}

function refusal (message: string): InvalidParametersError {
  return new InvalidParametersError(message, { next: 'make the section with `fmtl-node import FOLDER --out FILE` and `fmtl-node charter --foundation FILE`' })
}

/** @param start - the weights at hand @throws {FoundationError} the charter builds on a model and there are none, or the other way round */
export function expectFoundation (foundation: FoundationSpec | undefined, start: readonly unknown[] = []): void {
  const given = start.length > 0
  if (foundation !== undefined && !given) {
    throw new FoundationError(`the charter builds on a ${foundation.family} model with sha-256 ${foundation.sha256.slice(0, 16)}..., whose file was not given`, { next: 'give the file that `fmtl-node import` wrote: --foundation FILE' })
  }
  if (foundation === undefined && given) throw new FoundationError('the charter builds on no foundation model, but a file of one was given', { next: 'leave --foundation out, or take the charter that names the model' })
}
