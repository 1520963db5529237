import { BackendError, DataError, DeadlineError, FmtlError, FoundationError, InvalidParametersError, PrivacyError, ProtocolError, ResourceError, RuleError } from '../errors.ts'

/** An error as it crosses a thread: code, text and advice, no stack. */
export interface WireError {
  readonly code: string
  readonly message: string
  readonly next?: string
}

export function toWire (error: unknown): WireError {
  if (error instanceof FmtlError) return { code: error.code, message: error.message, ...error.next === undefined ? {} : { next: error.next } }
  return { code: 'ERR_INTERNAL', message: error instanceof Error ? error.stack ?? error.message : String(error) }
}

export function fromWire ({ code, message, next }: WireError): Error {
  const init = next === undefined ? {} : { next }
  switch (code) {
    case 'ERR_DATA': return new DataError(message, init)
    case 'ERR_FOUNDATION': return new FoundationError(message, init)
    case 'ERR_BACKEND': return new BackendError(message, init)
    case 'ERR_INVALID_PARAMETERS': return new InvalidParametersError(message, init)
    case 'ERR_PRIVACY': return new PrivacyError(message, init)
    case 'ERR_RESOURCE': return new ResourceError(message, init)
    case 'ERR_RULE': return new RuleError(message, init)
    case 'ERR_DEADLINE': return new DeadlineError(message, init)
    case 'ERR_INTERNAL': return new Error(message)
    default: return new ProtocolError(message, { ...init, code })
  }
}
