import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import test from 'ava'
import * as affinity from '../../protocols/affinity/index.ts'
import * as bench from '../../protocols/bench/index.ts'
import * as knock from '../../protocols/knock/index.ts'
import * as membership from '../../protocols/membership/index.ts'
import { decodeMessage, encodeControl, encodeFrame } from '../../protocols/split-step/index.ts'
import { affinityMessages } from '../../scripts/vectors/affinity-wire.ts'
import { benchCards } from '../../scripts/vectors/bench.ts'
import { exampleLog } from '../../scripts/vectors/membership.ts'
import { knockMessages, membershipMessages } from '../../scripts/vectors/members-wire.ts'
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

/** By message: what reads it, as the JSON beside it has it, and what writes that again. */
const CODECS: Readonly<Record<string, { read: (bytes: Uint8Array) => unknown, write: (value: never) => Uint8Array }>> = {
  AffinityMessage: { read: affinity.decodeAffinity, write: affinity.encodeAffinity },
  BenchCard: { read: bench.decodeBenchCard, write: bench.encodeBenchCard },
  Beat: { read: membership.decodeBeat, write: membership.encodeBeat },
  SyncRequest: { read: membership.decodeSyncRequest, write: membership.encodeSyncRequest },
  SyncResponse: { read: membership.decodeSyncResponse, write: membership.encodeSyncResponse },
  KnockRequest: {
    read: bytes => {
      const said = knock.decodeRequest(bytes)
      return said === undefined ? { charter: true } : { knock: said }
    },
    write: ({ knock: said }: { knock?: Uint8Array }) => knock.encodeRequest(said)
  },
  KnockResponse: { read: knock.decodeAnswer, write: knock.encodeAnswer }
}

/** Bytes stand in the JSON as `{ hex }`, cells as `{ float32 }` or `{ uint32 }`. */
function revived (_key: string, value: unknown): unknown {
  if (value === null || typeof value !== 'object') return value
  if ('float32' in value) return Float32Array.from(value.float32 as number[])
  if ('uint32' in value) return Uint32Array.from(value.uint32 as number[])
  return 'hex' in value && typeof value.hex === 'string' ? Uint8Array.from(Buffer.from(value.hex, 'hex')) : value
}

for (const { protocol, messages } of [
  { protocol: 'affinity-wire', messages: async () => affinityMessages() },
  { protocol: 'bench', messages: async () => benchCards() },
  { protocol: 'membership-sync', messages: async () => membershipMessages((await exampleLog()).log) },
  { protocol: 'knock', messages: async () => await exampleLog().then(({ log, knock }) => knockMessages(log, knock)) }
]) {
  const folder = join(import.meta.dirname, '..', 'vectors', protocol, '1.0.0')
  const names = readdirSync(folder).filter(name => name.endsWith('.json')).map(name => name.slice(0, -'.json'.length))
  const bytesOf = (name: string): Uint8Array => new Uint8Array(readFileSync(join(folder, `${name}.bin`)))

  for (const name of names) {
    test(`${protocol} 1.0.0, ${name}: bytes and meaning belong together`, t => {
      const { message, value } = JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8'), revived) as { message: string, value: unknown }
      const codec = CODECS[message]
      if (codec === undefined) return t.fail(message)
      t.deepEqual(codec.read(bytesOf(name)), value)
      t.deepEqual(codec.write(value as never), bytesOf(name))
    })
  }

  test(`${protocol} 1.0.0: what it was made of makes the same messages today`, async t => {
    const made = await messages()
    t.deepEqual(made.map(({ name }) => name).toSorted(), names.toSorted())
    for (const { name, bytes } of made) t.deepEqual(Uint8Array.from(bytes), bytesOf(name), name)
  })
}
