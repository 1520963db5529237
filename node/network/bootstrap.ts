/** The first contact: addresses that are dialled until one answers, and why one does not, in one line. */
import { setTimeout as pause } from 'node:timers/promises'
import { KEEP_ALIVE } from '@libp2p/interface'
import { multiaddr } from '@multiformats/multiaddr'
import { FmtlError, InvalidParametersError } from '../../src/errors.ts'
import { ForeignNetworkError } from './private-network.ts'
import type { Libp2p } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'

export interface BootstrapOptions {
  signal?: AbortSignal
  /** Longest pause between two rounds of attempts, ms. Default 5000; the first pause is 250 ms. */
  maxDelayMs?: number
  /** Hears why an attempt failed, in one line. */
  onRetry?: (address: string, reason: string, delayMs: number) => void
}

/**
 * Connects to at least one of the addresses, trying again until that worked or the signal aborts. A connection that is
 * lost later is opened again.
 * @returns the addresses that answered
 */
export async function dialBootstrap (node: Pick<Libp2p, 'dial' | 'peerStore'>, addresses: readonly string[], options: BootstrapOptions = {}): Promise<string[]> {
  const { signal, maxDelayMs = 5000, onRetry } = options
  if (addresses.length === 0) return []
  const targets = addresses.map(address => ({ address, target: parseAddress(address) }))
  for (let delayMs = 250; ; delayMs = Math.min(2 * delayMs, maxDelayMs)) {
    signal?.throwIfAborted()
    const answered: string[] = []
    await Promise.all(targets.map(async ({ address, target }) => {
      try {
        const { remotePeer } = await node.dial(target, signal == null ? {} : { signal })
        await node.peerStore.merge(remotePeer, { tags: { [`${KEEP_ALIVE}-fmtl-bootstrap`]: {} } })
        answered.push(address)
      } catch (err) {
        onRetry?.(address, whyNotDialled(err), delayMs)
      }
    }))
    if (answered.length > 0) return answered
    // an abort ends the pause, and the loop says so
    await pause(delayMs, undefined, signal == null ? {} : { signal }).catch(() => {})
  }
}

/** @throws {InvalidParametersError} */
export function parseAddress (address: string): Multiaddr {
  try {
    return multiaddr(address)
  } catch (cause) {
    throw new InvalidParametersError(`'${address}' is no multiaddr`, { cause, next: 'write it as /ip4/<address>/tcp/<port>' })
  }
}

/** One line of what went wrong with a dial: of several, what says most. */
export function whyNotDialled (err: unknown): string {
  const own = causes(err).find(cause => cause instanceof FmtlError)
  if (own !== undefined) return own.message
  // this node has no network key, and what the other side says looks like noise
  if (causes(err).some(({ name, message }) => name === 'EncryptionFailedError' && !message.includes('identity key'))) return new ForeignNetworkError().message
  return reasons(err).split('\n')[0] ?? ''
}

/** The messages of an error, what it wraps and what it gathers. */
export function reasons (err: unknown): string { return causes(err).map(({ message }) => message).join('\n') }

function causes (err: unknown): Error[] {
  if (!(err instanceof Error)) return [new Error(String(err))]
  const inner = err instanceof AggregateError ? err.errors : err.cause == null ? [] : [err.cause]
  return [err, ...inner.flatMap(causes)]
}
