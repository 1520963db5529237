/**
 * Embedders of foundation models, in the form of src/models/embedder.ts.
 *
 *     pictures   pieces [B, N, P + 1 + leading]: the pixels of a patch and a 1, or nothing but a 1 at the place of a leading token;
 *                times one table of projection, bias and leading tokens, plus positions
 *     texts      pieces [B, N, 2]: a word piece and what its key's scores are lowered by; word + position (+ kind), normalised
 *
 * So a patch embedding with a class token is one product, and padding travels inside the pieces.
 */
import { InvalidParametersError } from '../errors.ts'
import { GraphBuilder } from '../graph/graph.ts'
import { elements } from '../tensor/tensor.ts'
import { fitPicture } from './pictures.ts'
import { layerNorm } from '../models/trunk.ts'
import { leadingTokens } from './spec.ts'
import type { Embedder } from '../models/embedder.ts'
import type { FoundationSpec } from './spec.ts'
import type { InputSpec } from '../data/dataset.ts'

/** What scores of padded keys are lowered by: a softmax in 32 bits makes exactly 0 of it. */
export const PADDED = -1e9
/** Deviation of what the weights' file overwrites. */
const DEVIATION = 0.02

/** @throws {InvalidParametersError} the model cannot read this input */
export function createFoundationEmbedder (foundation: FoundationSpec, input: InputSpec, width: number): Embedder {
  const { pictures, texts } = foundation
  if (pictures !== undefined) return pictureEmbedder(foundation, pictures, input, width)
  if (texts !== undefined) return textEmbedder(foundation, texts, input, width)
  throw new InvalidParametersError('model.foundation says neither what pictures nor what texts it reads')
}

function pictureEmbedder ({ family }: FoundationSpec, { size, patch, channels }: NonNullable<FoundationSpec['pictures']>, input: InputSpec, width: number): Embedder {
  const [height = 0, columns = 0, own = 0] = input.shape
  if (input.modality !== 'image' || input.shape.length !== 3 || channels % own !== 0) {
    throw new InvalidParametersError(`a ${family} model of ${channels} channels reads pictures of as many or of one, the data are ${input.modality} of [${input.shape.join(', ')}]`, { next: 'choose another foundation model, or other data' })
  }
  const leading = leadingTokens(family)
  const [grid, pixels] = [size / patch, patch * patch * channels]
  const [tokens, pieceSize] = [leading + grid * grid, pixels + 1 + leading]
  const g = new GraphBuilder()
  const pieces = g.reshape(g.input('pieces', ['B', tokens, pieceSize]), [`B*${tokens}`, pieceSize])
  const embedded = g.matMul(pieces, g.parameter('weight', [pieceSize, width], { deviation: DEVIATION }))
  g.output('activations', g.add(g.reshape(embedded, ['B', tokens, width]), g.parameter('positions', [tokens, width], { deviation: DEVIATION })))
  const whole = { height: size, width: size, channels }
  const unfold = (row: Float32Array, into: Float32Array): void => {
    const picture = fitPicture(row, { height, width: columns, channels: own }, whole)
    for (let token = 0; token < leading; token++) into[token * pieceSize + pixels + 1 + token] = 1
    let at = leading * pieceSize
    for (let gy = 0; gy < grid; gy++) {
      for (let gx = 0; gx < grid; gx++) {
        for (let dy = 0; dy < patch; dy++) {
          const start = ((gy * patch + dy) * size + gx * patch) * channels
          into.set(picture.subarray(start, start + patch * channels), at + dy * patch * channels)
        }
        into[at + pixels] = 1
        at += pieceSize
      }
    }
  }
  return embedder(g, { tokens, pieceSize, input, unfold })
}

function textEmbedder ({ family, epsilon }: FoundationSpec, { vocabulary, positions }: NonNullable<FoundationSpec['texts']>, input: InputSpec, width: number): Embedder {
  const [tokens = 0, slots] = input.shape
  if (input.modality !== 'tokens' || slots !== 1 || input.tokenizer === undefined) {
    throw new InvalidParametersError(`a ${family} model reads its tokenizer's word pieces, the data are ${input.modality} of [${input.shape.join(', ')}]`, { next: 'name the model\'s tokenizer.json as input.tokenizer in the manifest' })
  }
  if ((input.buckets ?? 0) > vocabulary) throw new InvalidParametersError(`a ${family} model knows ${vocabulary} word pieces, the tokenizer makes ${input.buckets}`, { next: 'take the tokenizer.json from the model\'s own folder' })
  if (tokens > positions) throw new InvalidParametersError(`a ${family} model reads at most ${positions} tokens, the data have ${tokens}`, { next: 'lower input.length in the manifest' })
  const g = new GraphBuilder()
  const pieces = g.input('pieces', ['B', tokens, 2])
  const column = (index: number): number => g.reshape(g.slice(pieces, 2, index, 1), ['B', tokens])
  const words = g.reshape(g.oneHot(column(0), vocabulary), [`B*${tokens}`, vocabulary])
  let x = g.reshape(g.matMul(words, g.parameter('words', [vocabulary, width], { deviation: DEVIATION })), ['B', tokens, width])
  x = g.add(x, g.parameter('positions', [tokens, width], { deviation: DEVIATION }))
  if (family === 'bert') x = g.add(x, g.parameter('kind', [width], { deviation: DEVIATION }))
  g.output('activations', layerNorm(g, x, 'norm', width, epsilon))
  g.output('mask', column(1))
  const unfold = (row: Float32Array, into: Float32Array): void => {
    row.forEach((piece, token) => {
      into[2 * token] = Math.max(0, piece)
      into[2 * token + 1] = piece < 0 ? PADDED : 0
    })
  }
  return embedder(g, { tokens, pieceSize: 2, input, unfold })
}

/** @param init.unfold - writes the pieces of one row into zeros */
function embedder (g: GraphBuilder, { tokens, pieceSize, input, unfold }: Pick<Embedder, 'tokens' | 'pieceSize'> & { input: InputSpec, unfold: (row: Float32Array, into: Float32Array) => void }): Embedder {
  const [size, perRow] = [elements(input.shape), tokens * pieceSize]
  return {
    tokens,
    pieceSize,
    grid: [tokens], // leading tokens have no place in a picture
    graph: g.build(),
    unfold: (x, count) => {
      const data = new Float32Array(count * perRow)
      for (let row = 0; row < count; row++) unfold(x.subarray(row * size, (row + 1) * size), data.subarray(row * perRow, (row + 1) * perRow))
      return { shape: [count, tokens, pieceSize], data }
    }
  }
}
