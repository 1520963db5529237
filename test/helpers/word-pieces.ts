/** A tokenizer.json of BERT's kind, with fifty pieces. */
const WORDS = ['good', 'bad', 'film', 'food', 'very', 'not', 'the', 'was', 'is', 'and', 'a', 'it', 'i', 'like', 'hate', 'slow', 'fresh', 'cold', 'warm', 'dull', '##s', '##d', '##ed', '##ly', '.', ',', '!', '?']
const PIECES = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', ...WORDS]

export function tokenizerJson (): string {
  const special = (content: string) => ({ id: PIECES.indexOf(content), content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true })
  const vocab = Object.fromEntries([...PIECES, ...Array.from({ length: 50 - PIECES.length }, (_, i) => `[unused${i}]`)].map((piece, id) => [piece, id]))
  return JSON.stringify({
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'].map(special),
    normalizer: { type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true, strip_accents: null, lowercase: true },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: {
      type: 'TemplateProcessing',
      single: [{ SpecialToken: { id: '[CLS]', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }, { SpecialToken: { id: '[SEP]', type_id: 0 } }],
      pair: [{ SpecialToken: { id: '[CLS]', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }, { SpecialToken: { id: '[SEP]', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }, { SpecialToken: { id: '[SEP]', type_id: 1 } }],
      special_tokens: { '[CLS]': { id: '[CLS]', ids: [2], tokens: ['[CLS]'] }, '[SEP]': { id: '[SEP]', ids: [3], tokens: ['[SEP]'] } }
    },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: { type: 'WordPiece', unk_token: '[UNK]', continuing_subword_prefix: '##', max_input_chars_per_word: 100, vocab }
  })
}

/** A data set of texts at two sites, each to be told liked or not, over `tokenizer.json` beside its rows. @param length - tokens of a text */
export function reviewsManifest (length: number): string {
  return `name: reviews
files: { rows: rows.csv }
input: { modality: tokens, column: text, length: ${length}, tokenizer: tokenizer.json }
clients: { column: site, values: [north, south] }
test: { column: test, equals: 1 }
tasks: [{ id: liked, kind: classes, column: liked, classes: [no, yes] }]
`
}

/** Numbers of pieces. */
export function piecesOf (...pieces: readonly string[]): number[] { return pieces.map(piece => PIECES.indexOf(piece)) }
