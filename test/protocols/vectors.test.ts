import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import { decodeMessage, encodeControl, encodeFrame } from '../../protocols/split-step/index.ts'
import * as compression from '../../src/compression/index.ts'
import { joined } from './nodes.ts'
import type { Control } from '../../protocols/split-step/index.ts'
import type { CodecName } from '../../src/compression/index.ts'
import type { Frame } from '../../src/backbone/frames.ts'

interface Vector {
  codec?: CodecName
  message: Control | Omit<Frame, 'tensors'> & { tensors: Array<{ name: string, shape: number[], data: number[] }> }
}

const FOLDER = join(import.meta.dirname, '..', 'vectors', 'split-step', '1.0.0')

for (const file of readdirSync(FOLDER).filter(name => name.endsWith('.json'))) {
  const name = file.slice(0, -'.json'.length)
  test(`split-step 1.0.0, ${name}: bytes and meaning belong together`, t => {
    const { codec = 'f32', message } = JSON.parse(readFileSync(join(FOLDER, file), 'utf8')) as Vector
    const bytes = new Uint8Array(readFileSync(join(FOLDER, `${name}.bin`)))
    const means: Control | Frame = 'control' in message
      ? message
      : { ...message, tensors: message.tensors.map(({ name, shape, data }) => ({ name, tensor: { shape, data: Float32Array.from(data) } })) }
    t.deepEqual(decodeMessage(bytes, { tensors: compression }), means)
    t.deepEqual('control' in means ? encodeControl(means) : joined(encodeFrame(means, codec, compression)), bytes)
  })
}
