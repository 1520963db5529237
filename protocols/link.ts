/**
 * Measures the path to a peer with what every node answers already, libp2p's ping: it sends back whatever it gets. Small
 * echoes give the round trip, large ones the throughput: that of the slower direction, as both run at the same time.
 */
import { ProtocolError } from '../src/errors.ts'
import { openFrames } from './request.ts'
import type { Frames } from './stream.ts'
import type { ProtocolComponents } from './components.ts'

export interface LinkMeasurement {
  /** Shortest of some echoes of 32 bytes, ms. */
  readonly roundTripMs: number
  /** Payload, in the slower direction. */
  readonly bitsPerSecond: number
  /** Size of the echo that the throughput is taken from. */
  readonly bytes: number
}

const PING = '/ipfs/ping/1.0.0'
const PING_BYTES = 32
const PINGS = 10
/**
 * Doubled from the first to the last until an echo takes long enough to forget about its round trip. The last one is half of
 * what a stream holds at the other end (4 MiB) while its way back is slower than its way there.
 */
const [FIRST_BYTES, LAST_BYTES] = [64 * 1024, 2 * 1024 * 1024]
const LONG_MS = 500
/** libp2p ends a ping stream after 10 s. */
const LIMIT_MS = 9_000

/**
 * @param peer - a connected peer's id
 * @throws {ProtocolError} it cannot be reached, or ends the echo
 * @throws {DOMException} TimeoutError: not even the first echo came back in 9 s
 */
export async function measureLink (components: Pick<ProtocolComponents, 'network'>, peer: string): Promise<LinkMeasurement> {
  const signal = AbortSignal.timeout(LIMIT_MS)
  const wire = await openFrames(components, peer, PING, LAST_BYTES, { signal })
  const endsAt = performance.now() + LIMIT_MS
  try {
    let roundTripMs = Infinity
    for (let i = 0; i < PINGS; i++) roundTripMs = Math.min(roundTripMs, await echo(wire, PING_BYTES, signal))
    for (let bytes = FIRST_BYTES; ; bytes *= 2) {
      const ms = await echo(wire, bytes, signal)
      const spent = Math.max(ms - roundTripMs, ms / 10) // an echo shorter than the jitter of the round trip says little
      if (ms >= LONG_MS || bytes >= LAST_BYTES || performance.now() + 3 * ms > endsAt) return { roundTripMs, bitsPerSecond: 8000 * bytes / spent, bytes }
    }
  } finally {
    await wire.close()
  }
}

async function echo (wire: Frames, bytes: number, signal: AbortSignal): Promise<number> {
  const startedAt = performance.now()
  const [answer] = await Promise.all([wire.read({ signal }), wire.write(new Uint8Array(bytes), { signal })])
  if (answer.byteLength !== bytes) throw new ProtocolError(`an echo of ${answer.byteLength} bytes, sent were ${bytes}`)
  return performance.now() - startedAt
}
