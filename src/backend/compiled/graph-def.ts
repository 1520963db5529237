/**
 * Writes a TensorFlow SavedModel that holds nothing but a graph and the functions that it calls: no variables, no saver, no
 * signature. Only the protobuf fields that the loader reads, written by hand, so that no protobuf schema or library has to be
 * carried along.
 *
 * Field numbers: tensorflow/core/protobuf/{saved_model,meta_graph}.proto, tensorflow/core/framework/{graph,function,op_def,
 * node_def,attr_value,tensor,tensor_shape,versions}.proto. Wire format: https://protobuf.dev/programming-guides/encoding
 */

export const FLOAT = 1
export const INT32 = 3
export const INT64 = 9
export type DataType = typeof FLOAT | typeof INT32 | typeof INT64

export type Attribute =
  | { readonly type: DataType }
  | { readonly flag: boolean }
  | { readonly count: number }
  /** A placeholder's shape; -1 is a size known only when it is fed. */
  | { readonly shape: readonly number[] }
  | { readonly tensor: Constant }
  | { readonly shapes: ReadonlyArray<readonly number[]> }
  | { readonly types: readonly DataType[] }
  | { readonly text: string }
  | { readonly bytes: readonly number[] }
  /** Name of the function that is called. */
  | { readonly called: string }

export type Constant =
  | { readonly type: typeof FLOAT, readonly shape: readonly number[], readonly values: readonly number[] }
  | { readonly type: typeof INT32, readonly shape: readonly number[], readonly values: readonly number[] }

export interface NodeDef {
  readonly name: string
  readonly op: string
  readonly inputs: readonly string[]
  readonly attributes: Readonly<Record<string, Attribute>>
}

/** What a graph or a function is given. */
export interface Argument {
  readonly name: string
  readonly type: DataType
  /** Without it TensorFlow fuses less; -1 is a size known only when it is fed. */
  readonly shape: readonly number[]
}

/** A graph that is called as one operation. Its nodes name their inputs as in any graph; all results are floats. */
export interface FunctionDef {
  readonly name: string
  readonly parameters: readonly Argument[]
  /** Nodes whose values are returned, in this order. */
  readonly results: readonly string[]
  readonly nodes: readonly NodeDef[]
}

/** The tag under which the graph is filed: TensorFlow's own word for "to be run, not trained". */
export const TAG = 'serve'

/** Version of TensorFlow's graph format, 134 = release 1.15: the first with every operation of ./lower.ts; later ones read it. */
const PRODUCER = 134

/** What an operation calls its only result, which a function body has to spell out; all others say `output`. */
const RESULTS: Readonly<Record<string, string>> = {
  AddV2: 'z',
  Cast: 'y',
  Erf: 'y',
  Exp: 'y',
  MatMul: 'product',
  Mul: 'z',
  Rsqrt: 'y',
  Sigmoid: 'y',
  SigmoidGrad: 'z',
  Softmax: 'softmax',
  Square: 'y',
  Sub: 'z',
  Tanh: 'y',
  TanhGrad: 'z',
  Transpose: 'y'
}

export function encodeSavedModel (nodes: readonly NodeDef[], functions: readonly FunctionDef[]): Uint8Array {
  const library = functions.flatMap(called => message(1, functionDef(called)))
  const graph = [...nodes.flatMap(node => message(1, nodeDef(node))), ...message(2, library), ...message(4, varint(1, PRODUCER))]
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

function functionDef ({ name, parameters, results, nodes }: FunctionDef): number[] {
  const values = new Map([...parameters.map(given => [given.name, given.name] as const), ...nodes.map(node => [node.name, `${node.name}:${RESULTS[node.op] ?? 'output'}:0`] as const)])
  const valueOf = (of: string): string => values.get(of) as string
  const signature = [
    ...text(1, name),
    ...parameters.flatMap(given => message(2, [...text(1, given.name), ...varint(3, given.type)])),
    ...results.flatMap((_, i) => message(3, [...text(1, `result${i}`), ...varint(3, FLOAT)]))
  ]
  return [
    ...message(1, signature),
    ...nodes.flatMap(node => message(3, nodeDef({ ...node, inputs: node.inputs.map(valueOf) }))),
    ...results.flatMap((result, i) => message(4, [...text(1, `result${i}`), ...text(2, valueOf(result))])),
    ...message(5, [...text(1, '_noinline'), ...message(2, attribute({ flag: true }))]),
    ...parameters.flatMap(({ shape }, i) => message(7, [...varint(1, i), ...message(2, message(1, [...text(1, '_output_shapes'), ...message(2, attribute({ shapes: [shape] }))]))]))
  ]
}

function attribute (value: Attribute): number[] {
  if ('type' in value) return varint(6, value.type)
  if ('flag' in value) return varint(5, Number(value.flag))
  if ('count' in value) return varint(3, value.count)
  if ('shape' in value) return message(7, tensorShape(value.shape))
  if ('shapes' in value) return message(1, value.shapes.flatMap(shape => message(7, tensorShape(shape))))
  if ('types' in value) return message(1, value.types.flatMap(type => varint(6, type)))
  if ('text' in value) return text(2, value.text)
  if ('bytes' in value) return message(2, value.bytes)
  if ('called' in value) return message(10, text(1, value.called))
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
