/** Our connections beside those of js-libp2p as it comes: what is sent arrives, in fewer and cheaper pieces. */
import { Socket } from 'node:net'
import test from 'ava'
import { fc, testProp } from '@fast-check/ava'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { createNode } from '../../node/libp2p.ts'
import { grantInParts } from '../../node/network/muxing.ts'
import { plainNode, rawEcho, rawFetch, rawSend, serveRaw } from '../../testnet/bench/raw-streams.ts'
import type { Header } from '../../node/network/muxing.ts'

const ENOUGH = 128 * 1024
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

test.serial('a message is one write, and waiting for the rest of one throws nothing', async t => {
  const [from, to] = [await ours(), await ours()]
  const { RangeError } = globalThis
  const { cork } = Socket.prototype
  let [errors, corks] = [0, 0]
  try {
    await serveRaw(to)
    await from.dial(to.getMultiaddrs())
    await rawEcho(from, 1000, 1)
    globalThis.RangeError = new Proxy(RangeError, { apply: (...args) => { errors++; return Reflect.apply(...args) as RangeError } })
    Socket.prototype.cork = function () { corks++; cork.call(this) }
    await rawEcho(from, 100_000, 20)
    t.is(errors, 0)
    t.true(corks >= 40, `${corks} writes`)
  } finally {
    Object.assign(globalThis, { RangeError })
    Socket.prototype.cork = cork
    await Promise.all([from.stop(), to.stop()])
  }
})

const frames = fc.array(fc.record({ type: fc.constantFrom(0, 1, 1, 1, 2, 3), flag: fc.constantFrom(0, 0, 0, 1, 2, 4, 8), streamID: fc.nat(2), length: fc.nat(200_000) }))

testProp('what a stream may send is told in full but for less than half of the smallest window; all else passes as it is', [frames], (t, given) => {
  const sent: Header[] = []
  const closed: number[] = []
  const muxer = { sendFrame: (header: Header): void => { sent.push(header) }, closeStream: (id: number): void => { closed.push(id) } }
  grantInParts(muxer)
  for (const frame of given) muxer.sendFrame(frame)
  const isGrant = ({ type, flag }: Header): boolean => type === 1 && flag === 0
  t.deepEqual(sent.filter(frame => !isGrant(frame)), given.filter(frame => !isGrant(frame)))
  for (const id of [0, 1, 2]) {
    const sum = (list: readonly Header[]): number => list.filter(frame => isGrant(frame) && frame.streamID === id).reduce((all, { length }) => all + length, 0)
    t.true(sum(sent) <= sum(given) && sum(given) - sum(sent) < ENOUGH)
    t.true(sent.every(frame => !isGrant(frame) || frame.length >= ENOUGH))
    muxer.closeStream(id)
  }
  t.deepEqual(closed, [0, 1, 2])
  sent.length = 0
  for (const id of [0, 1, 2]) muxer.sendFrame({ type: 1, flag: 0, streamID: id, length: ENOUGH - 1 })
  t.deepEqual(sent, [], 'a stream that has ended is owed nothing')
})
