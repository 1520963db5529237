/** A plain codec for tests that are not about compression: float32, and float16 by Node's own typed array. */
import type { TensorCodec } from '../../protocols/split-step/index.ts'

export const testCodec: TensorCodec = {
  encode: (codec, data) => codec === 'f16' ? new Uint8Array(new Float16Array(data).buffer) : new Uint8Array(data.slice().buffer),
  decode: (codec, bytes, elements) => codec === 'f16'
    ? new Float32Array(new Float16Array(bytes.slice().buffer, 0, elements))
    : new Float32Array(bytes.slice().buffer, 0, elements),
  encodedBytes: (codec, elements) => codec === 'f16' ? 2 * elements : 4 * elements
}
