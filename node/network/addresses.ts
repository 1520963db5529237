/** What an address is worth: who can dial it, which to try first, which to tell others. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { BlockList, isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import { MAX_ADDRESSES } from '../../protocols/limits.ts'
import type { Multiaddr } from '@multiformats/multiaddr'

/** name: a DNS name, which its owner gave as an address for others; relay: through another member. */
export type Scope = 'loopback' | 'private' | 'public' | 'name' | 'relay'

const PRIVATE = blockList(
  ['10.0.0.0', 8], ['172.16.0.0', 12], ['192.168.0.0', 16], ['100.64.0.0', 10], ['169.254.0.0', 16], ['192.0.2.0', 24], ['198.18.0.0', 15],
  ['198.51.100.0', 24], ['203.0.113.0', 24], ['240.0.0.0', 4], ['0.0.0.0', 8], ['fc00::', 7], ['fe80::', 10], ['2001:db8::', 32], ['::', 128]
)
/** Interfaces come and go with cables and tunnels; reading them takes a tenth of a millisecond. */
const INTERFACES_MS = 5_000
const LOOPBACK = blockList(['127.0.0.0', 8], ['::1', 128])

export function scopeOf (address: string): Scope {
  if (address.includes('/p2p-circuit')) return 'relay'
  const host = hostOf(address)
  if (host === undefined) return 'name'
  if (LOOPBACK.check(host, family(host))) return 'loopback'
  return PRIVATE.check(host, family(host)) ? 'private' : 'public'
}

/** The IP address in a multiaddr. */
export function hostOf (address: string): string | undefined {
  const host = /^\/ip[46]\/([^/]+)/.exec(address)?.[1]
  return host !== undefined && isIP(host) !== 0 ? host : undefined
}

/** The TCP port of a direct address. */
export function portOf (address: string): number | undefined {
  const port = address.includes('/p2p-circuit') ? undefined : /\/tcp\/(\d+)/.exec(address)?.[1]
  return port === undefined ? undefined : Number(port)
}

/**
 * An order for dialling: the same network first, then addresses that anybody can dial, then relays. A private address of
 * another network comes last: it is most likely the inside of somebody's NAT, and dialling it is waiting.
 */
export function dialOrder (): (a: { multiaddr: Multiaddr }, b: { multiaddr: Multiaddr }) => -1 | 0 | 1 {
  let near = new BlockList()
  let readAt = -Infinity
  const rank = ({ multiaddr }: { multiaddr: Multiaddr }): number => {
    const text = multiaddr.toString()
    const host = hostOf(text)
    switch (scopeOf(text)) {
      case 'private': return host !== undefined && near.check(host, family(host)) ? 0 : 4
      case 'public': return 1
      case 'name': return 1
      case 'loopback': return 2
      case 'relay': return 3
    }
  }
  return (a, b) => {
    if (performance.now() - readAt > INTERFACES_MS) [near, readAt] = [ownNetworks(), performance.now()]
    return Math.sign(rank(a) - rank(b)) as -1 | 0 | 1
  }
}

/** What others are told, at most MAX_ADDRESSES: loopback only where there is nothing else, of a relay its best address. */
export function addressesToTell (addresses: ReadonlyArray<Multiaddr | string>): string[] {
  const all = addresses.map(String)
  const direct = all.filter(address => ['public', 'name', 'private'].includes(scopeOf(address))).sort((a, b) => worth(a) - worth(b))
  const relayed = new Map<string, string>()
  for (const address of all.filter(address => scopeOf(address) === 'relay')) {
    const relay = relayOf(address) ?? ''
    const other = relayed.get(relay)
    if (other === undefined || worth(beforeRelay(address)) < worth(beforeRelay(other))) relayed.set(relay, address)
  }
  const told = [...direct.slice(0, MAX_ADDRESSES - relayed.size), ...relayed.values()]
  return (told.length > 0 ? told : all).slice(0, MAX_ADDRESSES)
}

/** The peer that a relayed address leads through; undefined of a direct one. */
export function relayOf (address: string): string | undefined { return /\/p2p\/([^/]+)\/p2p-circuit/.exec(address)?.[1] }

export function beforeRelay (address: string): string { return address.split('/p2p-circuit')[0] ?? '' }

/**
 * For who knows nobody yet: of each member the address that leads furthest before anybody's second; loopback only where
 * there is nothing else. A relayed address leads almost as far as its relay's.
 */
export function addressesToMeet (addresses: readonly string[], most: number): string[] {
  const rank = (address: string): number => scopeOf(address) === 'relay' ? worth(beforeRelay(address)) + 0.5 : worth(address)
  const away = addresses.filter(address => scopeOf(address) !== 'loopback')
  const turns = new Map<string, number>()
  return [...new Set(away.length > 0 ? away : addresses)].sort((a, b) => rank(a) - rank(b)).map(address => {
    const member = /\/p2p\/([^/]+)$/.exec(address)?.[1] ?? ''
    const turn = turns.get(member) ?? 0
    turns.set(member, turn + 1)
    return { address, turn }
  }).sort((a, b) => a.turn - b.turn).slice(0, most).map(({ address }) => address)
}

function worth (address: string): number { return ['name', 'public', 'private', 'loopback', 'relay'].indexOf(scopeOf(address)) }

/**
 * The address that packets to the rest of the world leave from, by the routing table: a UDP socket that is connected and
 * never sent on has it. Undefined without a default route.
 */
export async function defaultRouteAddress (): Promise<string | undefined> {
  const socket = createSocket('udp4')
  try {
    // of TEST-NET-1, where nobody lives
    socket.connect(9, '192.0.2.1')
    await once(socket, 'connect')
    return socket.address().address
  } catch {
    return undefined
  } finally {
    socket.close()
  }
}

function ownNetworks (): BlockList {
  const list = new BlockList()
  for (const own of Object.values(networkInterfaces()).flat()) {
    if (own?.cidr == null || own.internal) continue
    const [network = '', bits = ''] = own.cidr.split('/')
    list.addSubnet(network, Number(bits), own.family === 'IPv4' ? 'ipv4' : 'ipv6')
  }
  return list
}

function blockList (...subnets: ReadonlyArray<readonly [string, number]>): BlockList {
  const list = new BlockList()
  for (const [network, bits] of subnets) list.addSubnet(network, bits, family(network))
  return list
}

function family (host: string): 'ipv4' | 'ipv6' { return isIP(host) === 6 ? 'ipv6' : 'ipv4' }
