/** The link of a plan: as its owner gives it, as an echo from a running node has it, or both. */
import { generateKeyPair } from '@libp2p/crypto/keys'
import { multiaddr } from '@multiformats/multiaddr'
import { InvalidParametersError, ProtocolError } from '../../src/errors.ts'
import { components } from '../components.ts'
import { createNode } from '../libp2p.ts'
import { measureLink } from '../../protocols/link.ts'
import type { Link } from '../../src/planning/index.ts'

export interface FoundLink extends Link {
  /** Where the figures come from, in words. */
  readonly from: string
}

export interface LinkFlags {
  readonly link?: string
  readonly latency?: string
  readonly peer?: string
}

const RATE = /^(\d+(?:\.\d+)?) ?([kMG])bit(?:ps|\/s)?$/i
const FACTOR: Readonly<Record<string, number>> = { k: 1e3, m: 1e6, g: 1e9 }
/** Of a line's rate, what is left for messages: 1448 of 1500 bytes after TCP and IP, less Noise and Yamux headers. */
const MESSAGE_SHARE = 0.96

/**
 * What is given comes before what is measured.
 * @throws {InvalidParametersError} neither a link nor a peer, or something unreadable
 * @throws {ProtocolError} the peer does not answer
 */
export async function findLink ({ link, latency, peer }: LinkFlags): Promise<FoundLink> {
  const given = link === undefined ? undefined : parseRates(link)
  const roundTripMs = latency === undefined ? undefined : parseLatency(latency)
  if (peer === undefined) {
    if (given === undefined) throw new InvalidParametersError('nothing is known of the link to the host', { next: 'give --link 20Mbit --latency 30, or --peer MULTIADDR of a running node' })
    return { ...given, roundTripMs: roundTripMs ?? 0, from: roundTripMs === undefined ? 'given; round trip not given, taken as 0' : 'given' }
  }
  const measured = await measurePeer(peer)
  const rates = given ?? { upBitsPerSecond: measured.bitsPerSecond, downBitsPerSecond: measured.bitsPerSecond }
  const what = [...given === undefined ? [`throughput (slower direction of an echo of ${measured.bytes / 1024} KiB)`] : [], ...roundTripMs === undefined ? ['round trip'] : []]
  return { ...rates, roundTripMs: roundTripMs ?? measured.roundTripMs, from: what.length === 0 ? 'given' : `measured to ${peer}: ${what.join(', ')}` }
}

/** '20Mbit' both ways, or '50Mbit,10Mbit' down and up. @throws {InvalidParametersError} */
function parseRates (text: string): Pick<Link, 'upBitsPerSecond' | 'downBitsPerSecond'> {
  const rates = text.split(',').map(part => {
    const [, number, unit = ''] = RATE.exec(part.trim()) ?? []
    return MESSAGE_SHARE * Number(number) * (FACTOR[unit.toLowerCase()] ?? NaN)
  })
  const [down = NaN, up = down] = rates
  if (rates.length > 2 || !(down > 0 && up > 0)) throw new InvalidParametersError(`--link cannot be '${text}'`, { next: 'write 20Mbit, or 50Mbit,10Mbit for down and up; kbit and Gbit are known too' })
  return { upBitsPerSecond: up, downBitsPerSecond: down }
}

function parseLatency (text: string): number {
  if (!/^\d{1,5}(\.\d+)?$/.test(text)) throw new InvalidParametersError(`--latency must be milliseconds from 0, got '${text}'`)
  return Number(text)
}

async function measurePeer (address: string): Promise<Awaited<ReturnType<typeof measureLink>>> {
  let target
  try {
    target = multiaddr(address)
  } catch (cause) {
    throw new InvalidParametersError(`--peer cannot be '${address}'`, { cause, next: 'write it as /ip4/<address>/tcp/<port>' })
  }
  const node = await createNode({ privateKey: await generateKeyPair('Ed25519'), listen: [] })
  try {
    const { remotePeer } = await node.dial(target, { signal: AbortSignal.timeout(DIAL_MS) })
    return await measureLink(components(node), remotePeer.toString())
  } catch (cause) {
    if (cause instanceof ProtocolError) throw cause
    throw new ProtocolError(`${address} does not answer (${(cause as Error).message})`, { cause, next: 'compare the address with what that node says it listens on' })
  } finally {
    await node.stop()
  }
}

/** Of a dial across the world on a bad day. */
const DIAL_MS = 10_000
