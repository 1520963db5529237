import test from 'ava'
import { gater } from '../../node/network/gate.ts'
import { multiaddr } from '@multiformats/multiaddr'
import type { MultiaddrConnection } from '@libp2p/interface'

const RELAY = '12D3KooWKkgNVgDSkzFVgX2eTry95ZpHP394MVSzGNbVLSQc3wEx'
const gate = { allows: () => true, whyNot: () => '' }

/** A connection that ends before it has said who it is. */
async function refusedAfter (address: string): Promise<string[]> {
  const told: string[] = []
  const { denyInboundConnection } = gater(gate, (peer, _address, why) => { told.push(`${peer}: ${why}`) })
  const connection = Object.assign(new EventTarget(), { remoteAddr: multiaddr(address) })
  if (await denyInboundConnection?.(connection as unknown as MultiaddrConnection) === true) throw new Error('denied before it could say who it is')
  connection.dispatchEvent(new Event('close'))
  return told
}

test('who comes directly and ends in the handshake does not have the key', async t => {
  t.deepEqual(await refusedAfter('/ip4/45.9.0.12/tcp/5000'), ['a stranger at 45.9.0.12: it has not shown that it has the key of this private network'])
})

test('a relayed connection that ends in the handshake is no stranger\'s: the relay has let a member through', async t => {
  t.deepEqual(await refusedAfter(`/ip4/45.9.0.12/tcp/5000/p2p/${RELAY}/p2p-circuit`), [])
})
