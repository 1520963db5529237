/** Whom a host serves: what an attach request must fit, and the reason it is turned down with. */
import { charterHash } from './charter.ts'
import type { AttachRequest } from '../backbone/frames.ts'
import type { Charter } from './charter.ts'

export interface Refusal {
  readonly code: string
  readonly reason: string
}

/** Rows per step that a client may ask for; bounds what a host allocates for one stranger's frame. */
export const MAX_BATCH = 512

/** Why this request cannot be served, or undefined. Nothing in it is trusted; nothing is thrown. */
export function refuse (request: AttachRequest, charter: Charter, host: { slots: number, attached: readonly string[] }): Refusal | undefined {
  const { width } = charter.model.backbone
  const model = charterHash(charter)
  if (request.model !== model) return { code: 'MODEL', reason: `this host trains model ${model}, the client asked for ${request.model}: charter, data set or seed differ` }
  const unknown = request.tasks.filter(task => !charter.tasks.some(known => known.id === task))
  if (unknown.length > 0) return { code: 'TASK', reason: `unknown task ${unknown.join(', ')}; the charter has ${charter.tasks.map(task => task.id).join(', ')}` }
  if (request.cut.length !== 2 || request.cut[1] !== width) return { code: 'SHAPE', reason: `activations must be [tokens, ${width}], got [${request.cut.join(', ')}]` }
  if (!(request.batch >= 1 && request.batch <= MAX_BATCH)) return { code: 'BATCH', reason: `a batch of ${request.batch} rows is outside this host's 1 to ${MAX_BATCH}` }
  if (host.attached.length >= host.slots && !host.attached.includes(request.client)) return { code: 'FULL', reason: `all ${host.slots} slots are taken` }
  return undefined
}
