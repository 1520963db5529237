import test from 'ava'
import { addressesToMeet, addressesToTell, relayOf } from '../../node/network/addresses.ts'

const [A, B, R] = ['12D3KooWRLx3drsKtd92oWtDNrDxTpf2ke15KdeNvk7CAwXTYFQH', '12D3KooWQxaKV54nKbSR6rAm8vs9zPYPFQZoQH269sibTXyW93B2', '12D3KooWKkgNVgDSkzFVgX2eTry95ZpHP394MVSzGNbVLSQc3wEx'] as const
const loopback = (peer: string): string => `/ip4/127.0.0.1/tcp/4001/p2p/${peer}`
const lan = (peer: string): string => `/ip4/192.168.1.10/tcp/4001/p2p/${peer}`
const wan = (peer: string): string => `/ip4/45.9.0.11/tcp/4001/p2p/${peer}`
const relayed = (peer: string): string => `${wan(R)}/p2p-circuit/p2p/${peer}`

test('a relayed address names its relay, a direct one none', t => {
  t.is(relayOf(relayed(A)), R)
  t.is(relayOf(wan(A)), undefined)
})

for (const { id, known, most, want } of [
  { id: 'of a member behind NAT the relayed address, not the inside of its network', known: [loopback(A), lan(A), relayed(A)], most: 1, want: [relayed(A)] },
  { id: 'another member before a second address of the same one', known: [lan(A), relayed(A), wan(R), `/dns4/r.example/tcp/4001/p2p/${R}`], most: 2, want: [`/dns4/r.example/tcp/4001/p2p/${R}`, relayed(A)] },
  { id: 'a public member before a relayed one', known: [relayed(A), wan(R)], most: 3, want: [wan(R), relayed(A)] },
  { id: 'inside one institution its own addresses', known: [loopback(A), lan(A), loopback(B)], most: 3, want: [lan(A)] },
  { id: 'loopback where there is nothing else', known: [loopback(A), loopback(A), loopback(B)], most: 3, want: [loopback(A), loopback(B)] }
]) test(`addresses for a link: ${id}`, t => { t.deepEqual(addressesToMeet(known, most), want) })

test('addresses for a card: what leads furthest first, of a relay its best one, no loopback', t => {
  t.deepEqual(addressesToTell([loopback(A), lan(A), `${loopback(R)}/p2p-circuit/p2p/${A}`, relayed(A), wan(A)]), [wan(A), lan(A), relayed(A)])
})
