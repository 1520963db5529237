/** Texts to the word pieces of a foundation model, by the tokenizer.json that comes with it. */
import { createHash } from 'node:crypto'
import { readBytes } from './readers/bytes.ts'
import { DataError } from '../errors.ts'

/** That of a model for a hundred languages has 17 MB. */
const MAX_TOKENIZER_BYTES = 64 * 2 ** 20

export interface WordPieces {
  /** Pieces that there are. */
  readonly count: number
  /** Of the file, 16 hex digits: sites with another one mean other pieces by the same numbers. */
  readonly hash: string
  /** The pieces of a text, with those that the model wants in front and behind; a longer text keeps its last one. */
  encode (text: string, length: number): readonly number[]
}

/** What is used of the library. */
interface Tokenizer {
  encode (text: string): { readonly ids: readonly number[] }
  get_vocab (withAdded?: boolean): ReadonlyMap<string, number>
}

/** @throws {DataError} no such file, or no tokenizer that the library knows */
export async function readTokenizer (path: string): Promise<WordPieces> {
  const bytes = await readBytes(path, { maxBytes: MAX_TOKENIZER_BYTES })
  let tokenizer: Tokenizer
  let count = 0
  try {
    const { Tokenizer } = await import('@huggingface/tokenizers')
    tokenizer = new Tokenizer(JSON.parse(bytes.toString('utf8')) as object, {}) as unknown as Tokenizer
    for (const id of tokenizer.get_vocab().values()) count = Math.max(count, id + 1)
    tokenizer.encode('a') // what it is made of is looked at only now
  } catch (cause) {
    throw new DataError(`${path}: this is no tokenizer that can be used: ${((cause as Error).message.split('\n', 1)[0] ?? '').slice(0, 120)}`, { cause, next: 'take the tokenizer.json from the model\'s own folder' })
  }
  return {
    count,
    hash: createHash('sha256').update(bytes).digest('hex').slice(0, 16),
    encode: (text, length) => {
      const { ids } = tokenizer.encode(text)
      return ids.length <= length ? ids : [...ids.slice(0, length - 1), ids.at(-1) as number]
    }
  }
}
