/**
 * Writes a TensorFlow SavedModel that holds nothing but a graph: no variables, no saver, no signature. Only the protobuf
 * fields that the loader reads, written by hand, so that no protobuf schema or library has to be carried along.
 *
 * Field numbers: tensorflow/core/protobuf/{saved_model,meta_graph}.proto, tensorflow/core/framework/{graph,node_def,
 * attr_value,tensor,tensor_shape,versions}.proto. Wire format: https://protobuf.dev/programming-guides/encoding
 */

export const FLOAT = 1
export const INT32 = 3
export type DataType = typeof FLOAT | typeof INT32

export type Attribute =
  | { readonly type: DataType }
  | { readonly flag: boolean }
  | { readonly count: number }
  /** A placeholder's shape; -1 is a size known only when it is fed. */
  | { readonly shape: readonly number[] }
  | { readonly tensor: Constant }

export type Constant =
  | { readonly type: typeof FLOAT, readonly shape: readonly number[], readonly values: readonly number[] }
  | { readonly type: typeof INT32, readonly shape: readonly number[], readonly values: readonly number[] }

export interface NodeDef {
  readonly name: string
  readonly op: string
  readonly inputs: readonly string[]
  readonly attributes: Readonly<Record<string, Attribute>>
}

/** The tag under which the graph is filed: TensorFlow's own word for "to be run, not trained". */
export const TAG = 'serve'

/** Version of TensorFlow's graph format, 134 = release 1.15: the first with every operation of ./lower.ts; later ones read it. */
const PRODUCER = 134

export function encodeSavedModel (nodes: readonly NodeDef[]): Uint8Array {
  const graph = [...nodes.flatMap(node => message(1, nodeDef(node))), ...message(4, varint(1, PRODUCER))]
  const metaGraph = [...message(1, text(4, TAG)), ...message(2, graph)]
  return Uint8Array.from([...varint(1, 1), ...message(2, metaGraph)])
}

function nodeDef ({ name, op, inputs, attributes }: NodeDef): number[] {
  return [
    ...text(1, name),
    ...text(2, op),
    ...inputs.flatMap(input => text(3, input)),
    ...Object.entries(attributes).flatMap(([key, value]) => message(5, [...text(1, key), ...message(2, attribute(value))]))
  ]
}

function attribute (value: Attribute): number[] {
  if ('type' in value) return varint(6, value.type)
  if ('flag' in value) return varint(5, Number(value.flag))
  if ('count' in value) return varint(3, value.count)
  if ('shape' in value) return message(7, tensorShape(value.shape))
  const { type, shape, values } = value.tensor
  const content = type === FLOAT ? Float32Array.from(values) : Int32Array.from(values)
  return message(8, [...varint(1, type), ...message(2, tensorShape(shape)), ...message(4, [...new Uint8Array(content.buffer)])])
}

function tensorShape (sizes: readonly number[]): number[] {
  return sizes.flatMap(size => message(2, varint(1, size)))
}

/** -1 as a varint: 64 bits of ones, seven to a byte. */
const MINUS_ONE = [...Array<number>(9).fill(0xff), 0x01]

/** Wire type 0. */
function varint (field: number, value: number): number[] { return [...base128(field << 3), ...value === -1 ? MINUS_ONE : base128(value)] }

/** Wire type 2. */
function message (field: number, bytes: readonly number[]): number[] { return [...base128(field << 3 | 2), ...base128(bytes.length), ...bytes] }

function text (field: number, value: string): number[] { return message(field, [...Buffer.from(value)]) }

function base128 (value: number): number[] {
  const bytes: number[] = []
  let rest = value
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push(rest % 128 | 128)
  bytes.push(rest)
  return bytes
}
