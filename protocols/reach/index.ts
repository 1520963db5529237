/**
 * Reach: a member dials the one that asks back from a new socket and says whether that worked. The only way to know
 * whether others can reach a node, without a server for it. Wire format: ./README.md.
 */
import { multiaddr } from '@multiformats/multiaddr'
import { RefusedError } from '../../src/errors.ts'
import { BUDGETS, DIAL_BACK_MS, DIAL_BACKS_AT_ONCE, MAX_REACH_BYTES } from '../limits.ts'
import { request, respond, wireError } from '../request.ts'
import { PROTOCOL } from './constants.ts'
import { decodeRequest, decodeResponse, encodeRequest, encodeResponse } from './messages.ts'
import type { AbortOptions } from '@libp2p/interface'
import type { ProtocolComponents } from '../components.ts'
import type { Reach, Unanswered } from './messages.ts'

export { PROTOCOL as REACH_PROTOCOL } from './constants.ts'
export type { Reach } from './messages.ts'

type Components = Pick<ProtocolComponents, 'network' | 'logger' | 'overBudget'>

/** Answers those who ask. Returns what ends that. */
export async function serveReach (components: Components): Promise<() => Promise<void>> {
  let dialling = 0
  const answer = async (bytes: Uint8Array, from: string, signal: AbortSignal, address: string): Promise<Reach | Unanswered> => {
    const ports = decodeRequest(bytes)
    const host = hostOf(address)
    if (host === undefined) return { code: 'ERR_RELAYED', reason: 'this connection is relayed' }
    if (dialling >= DIAL_BACKS_AT_ONCE) return { code: 'ERR_BUSY', reason: 'too many dial backs at once' }
    dialling++
    try {
      const endsAt = AbortSignal.any([signal, AbortSignal.timeout(DIAL_BACK_MS)])
      const reached: number[] = []
      // one after the other: dials to one peer at the same time become one
      for (const port of ports) if (await dialBack(components, `${host}/tcp/${port}/p2p/${from}`, endsAt)) reached.push(port)
      return { host, ports: reached }
    } finally {
      dialling--
    }
  }
  return await respond(components, PROTOCOL, {
    maxRequestBytes: MAX_REACH_BYTES,
    maxResponseBytes: MAX_REACH_BYTES,
    budget: BUDGETS.reach,
    busy: () => encodeResponse({ code: 'ERR_BUSY', reason: 'too many requests at once' }),
    answer: async (bytes, from, signal, address) => encodeResponse(await answer(bytes, from, signal, address).catch(wireError))
  })
}

/**
 * Asks a peer that we have a direct connection to.
 * @throws {RefusedError} it cannot say
 * @throws {ProtocolError} it cannot be reached, or does not speak this protocol
 */
export async function askReach (components: Pick<ProtocolComponents, 'network'>, peer: string, ports: readonly number[], options: AbortOptions = {}): Promise<Reach> {
  const response = decodeResponse(await request(components, peer, PROTOCOL, encodeRequest(ports), {
    ...options, maxRequestBytes: MAX_REACH_BYTES, maxResponseBytes: MAX_REACH_BYTES
  }))
  if ('host' in response) return response
  throw new RefusedError(response.reason, { cause: response })
}

/** Of a direct address; undefined for a relayed one and for one that is no IP address. */
function hostOf (address: string): string | undefined {
  if (address.includes('/p2p-circuit')) return undefined
  const [host] = /^\/ip[46]\/[^/]+/.exec(address) ?? []
  return host
}

async function dialBack (components: Components, address: string, signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return false
  try {
    // forced: the connection that the question came by says nothing
    const connection = await components.network.dial(multiaddr(address), { force: true, signal })
    // a dial to the same peer that was under way already is somebody else's
    if (connection.remoteAddr.toString() !== address) return false
    await connection.close()
    return true
  } catch (err) {
    components.logger.forComponent('fmtl:reach')('%s: %e', address, err)
    return false
  }
}
