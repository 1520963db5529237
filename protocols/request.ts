/**
 * One question and one answer on a stream of their own, and the opening of any stream.
 *
 * The library resets streams over its per-protocol limit without telling the caller, so a responder counts by itself,
 * below that limit, and says 'busy' in the protocol's own words. So does who asks for more in a minute than its budget.
 */
import { peerIdFromString } from '@libp2p/peer-id'
import { FmtlError, ProtocolError } from '../src/errors.ts'
import { REQUEST_TIMEOUT_MS, STREAMS_PER_PEER } from './limits.ts'
import { PeerBudgets } from './budget.ts'
import { frames } from './stream.ts'
import type { Budget } from './budget.ts'
import type { ProtocolComponents } from './components.ts'
import type { Frames } from './stream.ts'
import type { AbortOptions } from '@libp2p/interface'

/**
 * @throws {ProtocolError} ERR_UNREACHABLE or ERR_UNSUPPORTED, with the peer and why
 * @throws the signal's reason, when it aborted
 */
export async function openFrames (
  components: Pick<ProtocolComponents, 'network'>, peer: string, protocol: string, maxFrameBytes: number, { pieces = false, ...options }: AbortOptions & { pieces?: boolean } = {}
): Promise<Frames> {
  try {
    const stream = await components.network.dialProtocol(peerIdFromString(peer), protocol, { ...options, runOnLimitedConnection: true })
    return frames(stream, { maxFrameBytes, peer, pieces })
  } catch (cause) {
    options.signal?.throwIfAborted()
    const err = cause as Error
    if (err.name === 'UnsupportedProtocolError') throw new ProtocolError(`${peer} does not offer ${protocol}`, { code: 'ERR_UNSUPPORTED', cause })
    throw new ProtocolError(`cannot reach ${peer}: ${err.message}`, { code: 'ERR_UNREACHABLE', cause })
  }
}

export interface RequestInit extends AbortOptions {
  maxResponseBytes: number
  maxRequestBytes: number
}

/** Opens a stream, asks, reads the answer. Without a signal it takes REQUEST_TIMEOUT_MS at most. */
export async function request (
  components: Pick<ProtocolComponents, 'network'>, peer: string, protocol: string, bytes: Uint8Array, init: RequestInit
): Promise<Uint8Array> {
  const options = { signal: init.signal ?? AbortSignal.timeout(REQUEST_TIMEOUT_MS) }
  const channel = await openFrames(components, peer, protocol, Math.max(init.maxRequestBytes, init.maxResponseBytes), options)
  try {
    await channel.write(bytes, options)
    const answer = await channel.read(options)
    void channel.close()
    return answer
  } catch (err) {
    channel.abort(err as Error)
    throw err
  }
}

export interface ResponderInit {
  maxRequestBytes: number
  maxResponseBytes: number
  /** A stream may carry several requests, answered in their order. Default: one. */
  many?: boolean
  /** Never throws for what a peer sent: a refusal is an answer too. `address` is where the connection leads. It may come in parts, to be sent one after the other. */
  answer: (bytes: Uint8Array, from: string, signal: AbortSignal, address: string) => Promise<Uint8Array | readonly Uint8Array[]>
  /** What one peer may ask for. */
  budget: Budget
  /** ms, of a clock that never goes back. Default: the process's. */
  now?: () => number
  /** What a peer hears that has too many requests open, or has asked for more than its budget. */
  busy: () => Uint8Array | readonly Uint8Array[]
}

/** Registers the answering side. Returns what removes it. */
export async function respond (
  components: Pick<ProtocolComponents, 'network' | 'logger' | 'overBudget'>, protocol: string, init: ResponderInit
): Promise<() => Promise<void>> {
  const log = components.logger.forComponent(`fmtl:${protocol.split('/')[2] ?? protocol}:responder`)
  const open = new PeerCounter(STREAMS_PER_PEER)
  const budgets = new PeerBudgets(init.budget, init.now)
  await components.network.handle(protocol, (stream, connection) => {
    const from = connection.remotePeer.toString()
    const channel = frames(stream, { maxFrameBytes: init.maxResponseBytes, maxReadBytes: init.maxRequestBytes, peer: from })
    const admitted = open.take(from)
    const serve = async ({ bytes, signal }: Request): Promise<boolean> => {
      const affordable = admitted && budgets.take(from)
      if (admitted && !affordable) components.overBudget?.set(protocol, (components.overBudget.get(protocol) ?? 0) + 1)
      const answer = affordable ? await init.answer(bytes, from, signal, connection.remoteAddr.toString()) : init.busy()
      if (affordable) budgets.spend(from, bytes.byteLength + sizeOf(answer))
      await channel.write(answer, { signal })
      return affordable
    }
    const run = async (): Promise<void> => {
      for (let request = await next(channel, true); request != null; request = await serve(request) && init.many === true ? await next(channel, false) : undefined);
      await channel.close()
    }
    void run().catch(err => {
      log('%s: %e', from, err)
      channel.abort(err as Error)
    }).finally(() => { if (admitted) open.give(from) })
  }, { maxInboundStreams: 2 * STREAMS_PER_PEER, maxOutboundStreams: 2 * STREAMS_PER_PEER, runOnLimitedConnection: true, force: true })
  return async () => { await components.network.unhandle(protocol) }
}

interface Request { readonly bytes: Uint8Array, readonly signal: AbortSignal }

function sizeOf (message: Uint8Array | readonly Uint8Array[]): number {
  return message instanceof Uint8Array ? message.byteLength : message.reduce((sum, { byteLength }) => sum + byteLength, 0)
}

/** A request and the time for its answer; undefined when a peer that was served before asks for no more. */
async function next (channel: Frames, first: boolean): Promise<Request | undefined> {
  const signal = AbortSignal.timeout(REQUEST_TIMEOUT_MS)
  try {
    return { bytes: await channel.read({ signal }), signal }
  } catch (err) {
    if (!first && (signal.aborted || (err as { code?: string }).code === 'ERR_ENDED')) return undefined
    throw err
  }
}

/** How many of something each peer holds. */
export class PeerCounter {
  readonly #max: number
  readonly #held = new Map<string, number>()

  constructor (max: number) { this.#max = max }

  take (peer: string): boolean {
    const held = this.#held.get(peer) ?? 0
    if (held >= this.#max) return false
    this.#held.set(peer, held + 1)
    return true
  }

  give (peer: string): void {
    const held = (this.#held.get(peer) ?? 0) - 1
    if (held > 0) this.#held.set(peer, held)
    else this.#held.delete(peer)
  }
}

/** Code and reason of an error, as they may cross the wire: our own bugs keep their text at home. */
export function wireError (err: unknown): { code: string, reason: string } {
  if (err instanceof FmtlError) return { code: err.code, reason: err.message }
  return { code: 'ERR_INTERNAL', reason: 'internal error' }
}
