/**
 * Encoders as Hugging Face's transformers library saves them: which of them can be a backbone here, and where each of their
 * tensors goes. Sources: its modeling_vit.py, modeling_deit.py, modeling_bert.py and modeling_distilbert.py; names and shapes
 * are those of `save_pretrained`.
 */
import { FAMILIES, leadingTokens, readsTexts } from './spec.ts'
import { FoundationError } from '../errors.ts'
import { allFinite, elements } from '../tensor/tensor.ts'
import type { Family, FoundationSpec } from './spec.ts'
import type { GeluForm } from '../graph/graph.ts'
import type { NamedTensor, TensorData } from '../tensor/tensor.ts'

/** The settings of a charter's `model` section that a foundation model fixes, its weights' hash apart. */
export interface FoundationModel {
  readonly width: number
  readonly layers: number
  readonly heads: number
  readonly hidden: number
  readonly foundation: Omit<FoundationSpec, 'sha256'>
}

/** Where a tensor of the library goes. */
export interface Placement {
  /** Its name there, without the model's own in front. */
  readonly source: string
  /** Its shape there. */
  readonly shape: readonly number[]
  /** Ours: 'embed/<parameter>' or 'trunk/<parameter>'. */
  readonly target: string
  /** Shape of the whole of that. */
  readonly whole: readonly number[]
  /** Position of its first number there. */
  readonly at: number
  /** Its axes in our order: a linear layer of the library is [to, from], ours [from, to]. */
  readonly order: readonly number[]
  /** As many of its numbers, from the first on; left out: all. */
  readonly take?: number
}

export interface ImportPlan {
  readonly model: FoundationModel
  readonly placements: readonly Placement[]
}

/** What the library calls its activations. */
const ACTIVATIONS: Readonly<Record<string, GeluForm>> = { gelu: 'erf', gelu_python: 'erf', gelu_new: 'tanh', gelu_fast: 'tanh', gelu_pytorch_tanh: 'tanh', quick_gelu: 'sigmoid' }
/** Of every published model of these families; twice the largest. */
const MAX_LAYERS = 96
const NEXT = `models of the families ${FAMILIES.join(', ')} can be imported`

/** Names of a block's parts, ours to theirs. */
type BlockNames = Readonly<Record<'norm1' | 'query' | 'key' | 'value' | 'out' | 'norm2' | 'up' | 'down', string>>

const VIT: BlockNames = { norm1: 'layernorm_before', query: 'attention.attention.query', key: 'attention.attention.key', value: 'attention.attention.value', out: 'attention.output.dense', norm2: 'layernorm_after', up: 'intermediate.dense', down: 'output.dense' }
const BLOCKS: Readonly<Record<Family, { readonly path: string, readonly names: BlockNames }>> = {
  vit: { path: 'encoder.layer', names: VIT },
  deit: { path: 'encoder.layer', names: VIT },
  bert: { path: 'encoder.layer', names: { norm1: 'attention.output.LayerNorm', query: 'attention.self.query', key: 'attention.self.key', value: 'attention.self.value', out: 'attention.output.dense', norm2: 'output.LayerNorm', up: 'intermediate.dense', down: 'output.dense' } },
  distilbert: { path: 'transformer.layer', names: { norm1: 'sa_layer_norm', query: 'attention.q_lin', key: 'attention.k_lin', value: 'attention.v_lin', out: 'attention.out_lin', norm2: 'output_layer_norm', up: 'ffn.lin1', down: 'ffn.lin2' } }
}

/**
 * @param config - config.json of the model's folder
 * @throws {FoundationError} another family, or a setting that our layers have no form for
 */
export function planImport (config: unknown): ImportPlan {
  const model = readConfig(config)
  return { model, placements: [...embedderPlacements(model), ...trunkPlacements(model)] }
}

function readConfig (raw: unknown): FoundationModel {
  if (raw === null || typeof raw !== 'object' || Array.isArray(raw)) throw new FoundationError('config.json is no object', { next: 'give the folder of a model as save_pretrained writes it' })
  const config = raw as Readonly<Record<string, unknown>>
  const family = config.model_type as Family
  if (!FAMILIES.includes(family)) throw new FoundationError(`config.json describes a model of type '${shown(config.model_type)}'`, { next: NEXT })
  const whole = (...keys: readonly string[]): number => {
    const value = keys.map(key => config[key]).find(value => value !== undefined)
    if (!Number.isInteger(value) || (value as number) < 1 || (value as number) > 2 ** 20) throw new FoundationError(`config.json: ${keys[0]} must be a whole number from 1, got ${shown(value)}`, { next: 'fetch the model\'s config.json again' })
    return value as number
  }
  const refuse = (key: string, why: string): never => { throw new FoundationError(`config.json: ${key} ${shown(config[key])}: ${why}`, { next: 'choose another model of the family' }) }
  const { hidden_act: act = config.activation ?? 'gelu', layer_norm_eps: epsilon = 1e-12 } = config
  const activation = ACTIVATIONS[String(act)]
  if (activation === undefined) throw new FoundationError(`config.json: there is no form for the activation '${shown(act)}'`, { next: `models with ${Object.keys(ACTIVATIONS).join(', ')} can be imported` })
  if (typeof epsilon !== 'number' || !(epsilon > 0 && epsilon < 1)) refuse('layer_norm_eps', 'it must be a number between 0 and 1')
  if (config.qkv_bias === false) refuse('qkv_bias', 'query, key and value have biases here')
  if (config.is_decoder === true) refuse('is_decoder', 'a backbone is an encoder')
  const position = config.position_embedding_type ?? 'absolute'
  if (position !== 'absolute') refuse('position_embedding_type', 'positions are learned and absolute here')
  const [width, heads, layers] = [whole('hidden_size', 'dim'), whole('num_attention_heads', 'n_heads'), whole('num_hidden_layers', 'n_layers')]
  if (width % heads !== 0) throw new FoundationError(`config.json: ${heads} heads do not divide a width of ${width}`, { next: 'fetch the model\'s config.json again' })
  if (layers > MAX_LAYERS) throw new FoundationError(`config.json: ${layers} layers, at most ${MAX_LAYERS} are built`, { next: 'choose a smaller model of the family' })
  const common = { family, activation, epsilon: epsilon as number }
  const foundation = readsTexts(family)
    ? { ...common, texts: { vocabulary: whole('vocab_size'), positions: whole('max_position_embeddings') } }
    : { ...common, pictures: { size: whole('image_size'), patch: whole('patch_size'), channels: whole('num_channels') } }
  const { pictures } = foundation as Partial<FoundationSpec>
  if (pictures !== undefined && pictures.size % pictures.patch !== 0) refuse('patch_size', `it does not divide a side of ${pictures.size}`)
  return { width, layers, heads, hidden: whole('intermediate_size', 'hidden_dim'), foundation }
}

function embedderPlacements ({ width, foundation: { family, pictures, texts } }: FoundationModel): Placement[] {
  if (pictures !== undefined) {
    const { size, patch, channels } = pictures
    const [pixels, leading] = [patch * patch * channels, leadingTokens(family)]
    const tokens = leading + (size / patch) ** 2
    const row = (source: string, shape: readonly number[], place: number): Placement =>
      ({ source, shape, target: 'embed/weight', whole: [pixels + 1 + leading, width], at: place * width, order: shape.map((_, axis) => axis) })
    return [
      // theirs is a convolution [to, channel, y, x]; our pieces run over y, x, channel
      { ...row('embeddings.patch_embeddings.projection.weight', [width, channels, patch, patch], 0), order: [2, 3, 1, 0] },
      row('embeddings.patch_embeddings.projection.bias', [width], pixels),
      row('embeddings.cls_token', [1, 1, width], pixels + 1),
      ...leading === 2 ? [row('embeddings.distillation_token', [1, 1, width], pixels + 2)] : [],
      { source: 'embeddings.position_embeddings', shape: [1, tokens, width], target: 'embed/positions', whole: [tokens, width], at: 0, order: [0, 1, 2] }
    ]
  }
  const { vocabulary, positions } = texts as NonNullable<typeof texts>
  const table = (source: string, target: string, rows: number): Placement => ({ source, shape: [rows, width], target: `embed/${target}`, whole: [rows, width], at: 0, order: [0, 1] })
  return [
    table('embeddings.word_embeddings.weight', 'words', vocabulary),
    table('embeddings.position_embeddings.weight', 'positions', positions),
    // one text has one kind of tokens, the first
    ...family === 'bert' ? [{ ...table('embeddings.token_type_embeddings.weight', 'kind', 0), shape: [-1, width], whole: [width], take: width }] : [],
    ...normalisation('embeddings.LayerNorm', 'embed/norm', width)
  ]
}

function trunkPlacements ({ width, layers, hidden, foundation: { family } }: FoundationModel): Placement[] {
  const { path, names } = BLOCKS[family]
  const placements: Placement[] = []
  for (let layer = 0; layer < layers; layer++) {
    const dense = (part: keyof BlockNames, from: number, to: number): void => {
      const [source, target] = [`${path}.${layer}.${names[part]}`, `trunk/block${layer}.${part}`]
      placements.push(
        { source: `${source}.weight`, shape: [to, from], target: `${target}.weight`, whole: [from, to], at: 0, order: [1, 0] },
        { source: `${source}.bias`, shape: [to], target: `${target}.bias`, whole: [to], at: 0, order: [0] })
    }
    for (const part of ['query', 'key', 'value', 'out'] as const) dense(part, width, width)
    dense('up', width, hidden)
    dense('down', hidden, width)
    for (const part of ['norm1', 'norm2'] as const) placements.push(...normalisation(`${path}.${layer}.${names[part]}`, `trunk/block${layer}.${part}`, width))
  }
  return readsTexts(family) ? placements : [...placements, ...normalisation('layernorm', 'trunk/norm', width)]
}

function normalisation (source: string, target: string, width: number): Placement[] {
  const vector = (theirs: string, ours: string): Placement => ({ source: `${source}.${theirs}`, shape: [width], target: `${target}.${ours}`, whole: [width], at: 0, order: [0] })
  return [vector('weight', 'gain'), vector('bias', 'bias')]
}

/** What a folder holds of a plan's tensors. */
export interface TensorSource {
  readonly names: ReadonlySet<string>
  read (name: string): Promise<TensorData>
}

/**
 * The model's tensors under our names and in our order of axes, sorted by name.
 * @returns what of the folder has no place here as well: heads, poolers
 * @throws {FoundationError} a tensor that is missing, or of another shape than config.json says
 */
export async function arrange ({ model, placements }: ImportPlan, from: TensorSource): Promise<{ tensors: readonly NamedTensor[], unused: readonly string[] }> {
  const { family } = model.foundation
  const byTarget = new Map<string, TensorData>()
  const used = new Set<string>()
  for (const { source, shape, target, whole, at, order, take } of placements) {
    const name = spellings(source, family).find(name => from.names.has(name))
    if (name === undefined) throw new FoundationError(`the model has no tensor ${source}, which config.json implies`, { next: 'fetch all files of the model again, or correct config.json' })
    const found = await from.read(name)
    if (found.shape.length !== shape.length || !shape.every((size, axis) => size === -1 || size === found.shape[axis])) {
      throw new FoundationError(`${name} is [${found.shape.join(', ')}], config.json implies [${shape.map(size => size === -1 ? 'any' : size).join(', ')}]`, { next: 'fetch config.json and the weights from the same place' })
    }
    if (!allFinite(found.data)) throw new FoundationError(`${name} has numbers that are not finite`, { next: 'fetch the weights again' })
    used.add(name)
    const { data } = byTarget.get(target) ?? { data: new Float32Array(elements(whole)) }
    data.set(permuted(found, order).subarray(0, take), at)
    byTarget.set(target, { shape: whole, data })
  }
  const tensors = [...byTarget].map(([name, tensor]) => ({ name, tensor })).sort((a, b) => a.name < b.name ? -1 : 1)
  return { tensors, unused: [...from.names].filter(name => !used.has(name)) }
}

/** A model with a head has its encoder under the family's name; LayerNorms were once saved as gamma and beta. */
function spellings (source: string, family: Family): string[] {
  const old = source.replace(/LayerNorm\.weight$/, 'LayerNorm.gamma').replace(/LayerNorm\.bias$/, 'LayerNorm.beta')
  return [source, `${family}.${source}`, ...old === source ? [] : [old, `${family}.${old}`]]
}

function permuted ({ shape, data }: TensorData, order: readonly number[]): Float32Array {
  if (order.every((from, to) => from === to)) return data
  const strides = shape.map((_, axis) => elements(shape.slice(axis + 1)))
  const out = new Float32Array(data.length)
  const place = order.map(() => 0)
  for (let at = 0; at < out.length; at++) {
    out[at] = data[order.reduce((sum, axis, i) => sum + (place[i] as number) * (strides[axis] as number), 0)] as number
    for (let i = order.length - 1; i >= 0; i--) {
      place[i] = (place[i] as number) + 1
      if (place[i] !== shape[order[i] as number]) break
      place[i] = 0
    }
  }
  return out
}

/** A `prepare` step of a manifest that does to pictures of bytes what the model's own preprocessor does; a number per channel, or one for all. */
export type PictureStep = { readonly subtract: number | readonly number[] } | { readonly divide: number | readonly number[] }

/**
 * @param raw - preprocessor_config.json
 * @throws {FoundationError} no object, or numbers that are none
 */
export function preparation (raw: unknown): PictureStep[] {
  const { do_rescale: rescales = true, rescale_factor: factor = 1 / 255, do_normalize: normalises = true, image_mean: mean, image_std: deviation } = (raw ?? {}) as Readonly<Record<string, unknown>>
  if (typeof factor !== 'number' || !(factor > 0)) throw new FoundationError(`preprocessor_config.json: rescale_factor must be a number above 0, got ${shown(factor)}`, { next: 'fetch the file again' })
  const perChannel = (key: string, value: unknown): number | number[] => {
    if (!Array.isArray(value) || value.length === 0 || !value.every(each => typeof each === 'number' && Number.isFinite(each))) throw new FoundationError(`preprocessor_config.json: ${key} must be a list of numbers, got ${shown(value)}`, { next: 'fetch the file again' })
    return value.every(each => each === value[0]) ? value[0] as number : value as number[]
  }
  return [
    ...rescales === true ? [{ divide: 1 / factor }] : [],
    ...normalises === true && mean !== undefined ? [{ subtract: perChannel('image_mean', mean) }, { divide: perChannel('image_std', deviation) }] : []
  ]
}

/** What a file says goes into one line. */
function shown (value: unknown): string { return (typeof value === 'string' ? value : JSON.stringify(value) ?? 'nothing').replace(/\s+/g, ' ').slice(0, 40) }
