/** Reach request and response <-> bytes. Wire format: ./README.md. */
import { DecodeError } from '../../src/errors.ts'
import { MAX_ADDRESSES, MAX_REACH_BYTES, MAX_TENSOR_NAME_BYTES } from '../limits.ts'
import { atMost, checked, clip, parse, text, whole } from '../wire.ts'
import { ReachRequest as RequestCodec, ReachResponse as ResponseCodec } from './messages.generated.ts'

export interface Reach {
  /** `/ip4/<address>` or `/ip6/<address>` that the other side sees us come from. */
  readonly host: string
  /** Ports at which it met us there. */
  readonly ports: readonly number[]
}

export interface Unanswered {
  readonly code: string
  readonly reason: string
}

const HOST = /^\/ip4\/\d{1,3}(\.\d{1,3}){3}$|^\/ip6\/[0-9a-f:.]{2,45}$/

export function encodeRequest (ports: readonly number[]): Uint8Array {
  return checked('a reach request', () => RequestCodec.encode({ ports: checkPorts(ports, 1) }))
}

export function decodeRequest (bytes: Uint8Array): number[] {
  const { ports } = parse(bytes, MAX_REACH_BYTES, 'reach request', bytes => RequestCodec.decode(bytes, { limits: { ports: MAX_ADDRESSES } }))
  return checkPorts(ports, 1)
}

export function encodeResponse (response: Reach | Unanswered): Uint8Array {
  return checked('a reach response', () => {
    if ('host' in response) return ResponseCodec.encode({ host: checkHost(response.host), reached: checkPorts(response.ports, 0) })
    return ResponseCodec.encode({ code: text(response.code, 'code', MAX_TENSOR_NAME_BYTES), reason: clip(response.reason) })
  })
}

export function decodeResponse (bytes: Uint8Array): Reach | Unanswered {
  const { host, reached, code, reason } = parse(bytes, MAX_REACH_BYTES, 'reach response', bytes => ResponseCodec.decode(bytes, { limits: { reached: MAX_ADDRESSES } }))
  if ((host === '') === (code == null)) throw new DecodeError('reach response: neither an answer nor a refusal')
  if (code != null) return { code: text(code, 'code', MAX_TENSOR_NAME_BYTES), reason: text(reason ?? '', 'reason', undefined, 0) }
  return { host: checkHost(host), ports: checkPorts(reached, 0) }
}

function checkHost (host: string): string {
  if (!HOST.test(host)) throw new DecodeError('host: neither /ip4/<address> nor /ip6/<address>')
  return host
}

function checkPorts (ports: readonly number[], min: number): number[] {
  atMost(ports.length, 'ports', MAX_ADDRESSES)
  if (ports.length < min) throw new DecodeError('ports: none')
  if (new Set(ports).size !== ports.length) throw new DecodeError('ports: one twice')
  return ports.map(port => whole(port, 'port', 1, 65535))
}
