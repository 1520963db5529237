/** Attach, host side: hands a request to whoever decides, and remembers what was admitted. */
import { BUDGETS, MAX_ATTACH_BYTES } from '../limits.ts'
import { respond, wireError } from '../request.ts'
import { PROTOCOL } from './constants.ts'
import { decodeRequest, encodeResponse } from './messages.ts'
import type { Admission, AttachRequest } from '../../src/backbone/frames.ts'
import type { ProtocolComponents } from '../components.ts'
import type { Refusal } from './messages.ts'
import type { SessionTable } from './sessions.ts'

/** `from` is the peer id that the connection proved. Throwing refuses with the error's code and message. */
export type Admit = (request: AttachRequest, from: string) => Promise<Admission | Refusal>

export async function serveAttach (
  components: Pick<ProtocolComponents, 'network' | 'logger' | 'overBudget'>, sessions: SessionTable, admit: Admit
): Promise<() => Promise<void>> {
  return await respond(components, PROTOCOL, {
    maxRequestBytes: MAX_ATTACH_BYTES,
    maxResponseBytes: MAX_ATTACH_BYTES,
    budget: BUDGETS.attach,
    busy: () => encodeResponse({ code: 'ERR_BUSY', reason: 'too many attach requests at once' }),
    answer: async (bytes, from) => {
      try {
        const request = decodeRequest(bytes)
        if (request.client !== from) return encodeResponse({ code: 'ERR_IDENTITY', reason: `request names ${request.client}, the connection is from ${from}` })
        const response = await admit(request, from)
        if ('session' in response) sessions.add({ id: response.session, peer: from, request, admission: response })
        return encodeResponse(response)
      } catch (err) {
        components.logger.forComponent('fmtl:attach:handler').error('%s: %e', from, err)
        return encodeResponse(wireError(err))
      }
    }
  })
}
