/**
 * Knock: the one protocol that is open to who is no member, and only over a connection that the gate let in because an
 * invitation names its identity. A newcomer reads the charter, hands in its signed knock, and asks again until a member has
 * said yes. Wire format: ./README.md.
 */
import { MAX_KNOCK_BYTES, encodeKnock } from '../../src/membership/index.ts'
import { BUDGETS, MAX_SYNC_BYTES } from '../limits.ts'
import { request, respond, wireError } from '../request.ts'
import { PROTOCOL } from './constants.ts'
import { decodeAnswer, decodeRequest, encodeAnswer, encodeRequest } from './messages.ts'
import type { Knock } from '../../src/membership/index.ts'
import type { ProtocolComponents } from '../components.ts'
import type { KnockAnswer } from './messages.ts'
import type { AbortOptions } from '@libp2p/interface'

export { PROTOCOL as KNOCK_PROTOCOL } from './constants.ts'
export { decodeAnswer, decodeRequest, encodeAnswer, encodeRequest } from './messages.ts'
export type { KnockAnswer } from './messages.ts'

const LIMITS = { maxRequestBytes: MAX_KNOCK_BYTES + 16, maxResponseBytes: MAX_SYNC_BYTES }

/** @param answer - to who connected as `from`: a one-time identity, or the newcomer's own. Throwing refuses. */
export async function serveKnocks (
  components: Pick<ProtocolComponents, 'network' | 'logger' | 'overBudget'>, answer: (knock: Uint8Array | undefined, from: string) => Promise<KnockAnswer>
): Promise<() => Promise<void>> {
  return await respond(components, PROTOCOL, {
    ...LIMITS,
    budget: BUDGETS.knock,
    busy: () => encodeAnswer({ code: 'ERR_BUSY', reason: 'too many knocks at once' }),
    answer: async (bytes, from) => {
      try {
        return encodeAnswer(await answer(decodeRequest(bytes), from))
      } catch (err) {
        return encodeAnswer(wireError(err))
      }
    }
  })
}

/** @throws {ProtocolError} the member cannot be reached or answers nonsense */
export async function ask (components: Pick<ProtocolComponents, 'network'>, peer: string, knock: Knock | undefined, options: AbortOptions = {}): Promise<KnockAnswer> {
  return decodeAnswer(await request(components, peer, PROTOCOL, encodeRequest(knock === undefined ? undefined : encodeKnock(knock)), { ...options, ...LIMITS }))
}
