/** Model settings as a charter fixes them; every peer builds the same parts from them and from the charter's seed. */
import { createHash } from 'node:crypto'
import { InvalidParametersError } from '../errors.ts'
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
}

export interface EmbedderSpec {
  /** patches: windows of a picture; windows: of a series; row: a table row as one token; columns: a token per column; tokens: hashed words. */
  readonly kind: 'patches' | 'windows' | 'row' | 'columns' | 'tokens'
  readonly patch: number
  readonly stride: number
  readonly padding: number
}

export interface ModelSpec {
  readonly backbone: BackboneSpec
  readonly embedder: EmbedderSpec
  /** Adapter between features and heads at the client: width of its bottleneck, 0 for none. */
  readonly adapter: number
  /** Share of activations and features dropped while training, at the client's two ends of the cut. */
  readonly dropout: number
  /** Embedder averaged every step over the clients of one modality; private otherwise. */
  readonly sharedEmbedder: boolean
  /** Tasks whose head is averaged every step over the clients that have the task. */
  readonly sharedHeads: readonly string[]
}

const BACKBONE: BackboneSpec = { width: 48, layers: 2, heads: 4, hidden: 96, attention: true }
const EMBEDDER_OF = { image: 'patches', table: 'row', series: 'windows', tokens: 'tokens' } as const

/**
 * Reads the `model` section of a recipe or charter; unset keys take defaults that fit the input.
 * @throws {InvalidParametersError} an unknown key or a value that cannot be
 */
export function parseModelSpec (raw: Readonly<Record<string, unknown>>, input: InputSpec): ModelSpec {
  const backbone = { ...BACKBONE, attention: input.modality !== 'table', ...pick(raw, ['width', 'layers', 'heads', 'hidden', 'attention', 'norm']) }
  const embedder = {
    kind: EMBEDDER_OF[input.modality],
    patch: 8,
    ...(raw.embedder as Partial<EmbedderSpec> | undefined)
  }
  const known = ['width', 'layers', 'heads', 'hidden', 'attention', 'norm', 'embedder', 'adapter', 'dropout', 'sharedEmbedder', 'sharedHeads']
  for (const key of Object.keys(raw)) {
    if (!known.includes(key)) throw new InvalidParametersError(`model.${key} is not a setting`, { next: `known: ${known.join(', ')}` })
  }
  const { width, layers, heads, hidden, attention } = backbone as BackboneSpec
  for (const [name, value] of Object.entries({ width, layers, heads, hidden })) {
    if (!Number.isInteger(value) || value < 1 || value > 65536) throw new InvalidParametersError(`model.${name} must be a whole number from 1, got ${String(value)}`)
  }
  if (attention && width % heads !== 0) throw new InvalidParametersError(`model.width ${width} does not divide by model.heads ${heads}`)
  return {
    backbone: { width, layers, heads, hidden, attention },
    embedder: { kind: embedder.kind, patch: embedder.patch, stride: embedder.stride ?? embedder.patch, padding: embedder.padding ?? 0 },
    adapter: Number(raw.adapter ?? 0),
    dropout: Number(raw.dropout ?? 0),
    sharedEmbedder: Boolean(raw.sharedEmbedder ?? false),
    sharedHeads: (raw.sharedHeads as string[] | undefined) ?? []
  }
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

function pick (raw: Readonly<Record<string, unknown>>, keys: readonly string[]): Record<string, unknown> {
  return Object.fromEntries(keys.flatMap(key => raw[key] === undefined ? [] : [[key, raw[key]]]))
}
