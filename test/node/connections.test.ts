/** Our connections beside those of js-libp2p as it comes: what is sent arrives, in fewer and cheaper pieces. */
import { Socket } from 'node:net'
import test from 'ava'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { createNode } from '../../node/libp2p.ts'
import { plainNode, rawEcho, rawFetch, rawSend, serveRaw } from '../../testnet/bench/raw-streams.ts'

const ours = async () => await createNode({ privateKey: await generateKeyPair('Ed25519'), profile: 'testnet' })
type Make = typeof ours | typeof plainNode

for (const { id, dials, listens } of [
  { id: 'ours dials ours', dials: ours, listens: ours },
  { id: 'ours dials the library', dials: ours, listens: plainNode },
  { id: 'the library dials ours', dials: plainNode, listens: ours }
] as Array<{ id: string, dials: Make, listens: Make }>) {
  test.serial(`${id}: streams of any size flow both ways and never stand still`, async t => {
    t.timeout(60_000)
    const [from, to] = [await dials(), await listens()]
    try {
      await serveRaw(to)
      await from.dial(to.getMultiaddrs())
      for (const block of [1, 100, 65_519, 65_520, 262_143, 3_000_000]) {
        const total = Math.min(3_000_000, 300 * block)
        await rawSend(from, total, block)
        await rawFetch(from, total, block)
        await rawEcho(from, block, 3)
      }
      t.pass()
    } finally {
      await Promise.all([from.stop(), to.stop()])
    }
  })
}

test.serial('a message is few writes, and waiting for the rest of one throws nothing', async t => {
  const [from, to] = [await ours(), await ours()]
  const { RangeError } = globalThis
  const { write } = Socket.prototype
  let [errors, writes] = [0, 0]
  try {
    await serveRaw(to)
    await from.dial(to.getMultiaddrs())
    await rawEcho(from, 1000, 1)
    globalThis.RangeError = new Proxy(RangeError, { apply: (...args) => { errors++; return Reflect.apply(...args) as RangeError } })
    Socket.prototype.write = function (...args: never[]) { writes++; return Reflect.apply(write, this, args) as boolean }
    await rawEcho(from, 60_000, 50)
    t.is(errors, 0)
    t.log(`${writes} writes for 100 messages of 60 kB`)
    t.true(writes >= 100 && writes < 500) // the library as it comes: 630
  } finally {
    Object.assign(globalThis, { RangeError })
    Socket.prototype.write = write
    await Promise.all([from.stop(), to.stop()])
  }
})
