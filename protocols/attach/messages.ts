/** Attach request and response: contract <-> bytes. Wire format: ./README.md. */
import { DecodeError } from '../../src/errors.ts'
import { MAX_ATTACH_BYTES, MAX_CREDITS, MAX_RANK, MAX_TASKS, MAX_TENSOR_NAME_BYTES } from '../limits.ts'
import { atMost, checked, clip, parse, text, texts, whole } from '../wire.ts'
import * as pb from './messages.generated.ts'
import type { Admission, AttachRequest } from '../../src/backbone/frames.ts'

/** Why a host turned a client down. `code` is stable, `reason` is for people. */
export interface Refusal {
  readonly code: string
  readonly reason: string
}

const U32 = 0xffffffff

export function encodeRequest (request: AttachRequest): Uint8Array {
  return checked('an attach request', () => pb.AttachRequest.encode(checkRequest({ ...request, name: clip(request.name) }) as pb.AttachRequest))
}

export function decodeRequest (bytes: Uint8Array): AttachRequest {
  const message = parse(bytes, MAX_ATTACH_BYTES, 'attach request', bytes => pb.AttachRequest.decode(bytes, { limits: { tasks: MAX_TASKS, cut: MAX_RANK } }))
  return checkRequest(message)
}

export function encodeResponse (response: Admission | Refusal): Uint8Array {
  return checked('an attach response', () => {
    if ('session' in response) return pb.AttachResponse.encode({ admission: checkAdmission(response) })
    return pb.AttachResponse.encode({ code: text(response.code, 'code', MAX_TENSOR_NAME_BYTES), reason: clip(response.reason) })
  })
}

export function decodeResponse (bytes: Uint8Array): Admission | Refusal {
  const { admission, code, reason } = parse(bytes, MAX_ATTACH_BYTES, 'attach response', bytes => pb.AttachResponse.decode(bytes))
  if ((admission == null) === (code == null)) throw new DecodeError('attach response: neither an admission nor a refusal')
  if (admission != null) return checkAdmission(admission)
  return { code: text(code ?? '', 'code', MAX_TENSOR_NAME_BYTES), reason: text(reason ?? '', 'reason', undefined, 0) }
}

function checkRequest (request: AttachRequest | pb.AttachRequest): AttachRequest {
  atMost(request.cut.length, 'axes of the cut', MAX_RANK)
  return {
    client: text(request.client, 'client'),
    name: text(request.name, 'name', undefined, 0),
    model: text(request.model, 'model'),
    tasks: texts(request.tasks, 'tasks', MAX_TASKS, MAX_TENSOR_NAME_BYTES),
    cut: request.cut.map(dim => whole(dim, 'axis of the cut', 1, U32)),
    samples: whole(request.samples, 'samples', 0, U32),
    batch: whole(request.batch, 'batch', 1, U32),
    ...(request.resume == null ? {} : { resume: text(request.resume, 'resume token') })
  }
}

function checkAdmission (admission: Admission): Admission {
  return {
    session: text(admission.session, 'session'),
    step: whole(admission.step, 'step', 0, U32),
    version: whole(admission.version, 'version', 0, U32),
    credits: whole(admission.credits, 'credits', 1, MAX_CREDITS),
    maxBatch: whole(admission.maxBatch, 'largest batch', 1, U32)
  }
}
