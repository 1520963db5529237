/** Attach, client side: asks a host to be served. */
import { RefusedError } from '../../src/errors.ts'
import { MAX_ATTACH_BYTES } from '../limits.ts'
import { request as ask } from '../request.ts'
import { PROTOCOL } from './constants.ts'
import { decodeResponse, encodeRequest } from './messages.ts'
import type { Admission, AttachRequest } from '../../src/backbone/frames.ts'
import type { ProtocolComponents } from '../components.ts'
import type { AbortOptions } from '@libp2p/interface'

/**
 * @throws {RefusedError} the host's reason as message, its code as `cause.code`
 * @throws {ProtocolError} the host cannot be reached or answers nonsense
 */
export async function attach (
  components: Pick<ProtocolComponents, 'network'>, host: string, request: AttachRequest, options: AbortOptions = {}
): Promise<Admission> {
  const response = decodeResponse(await ask(components, host, PROTOCOL, encodeRequest(request), {
    ...options, maxRequestBytes: MAX_ATTACH_BYTES, maxResponseBytes: MAX_ATTACH_BYTES
  }))
  if ('session' in response) return response
  throw new RefusedError(response.reason, { cause: response })
}
