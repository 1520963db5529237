/**
 * Every error a caller or a peer can cause. `code` is stable and crosses the wire; the stack does not.
 * `next` is what the person reading the one-line message should do.
 */
export interface FmtlErrorInit {
  cause?: unknown
  next?: string
}

export class FmtlError extends Error {
  readonly code: string
  readonly next: string | undefined

  constructor (code: string, message: string, init: FmtlErrorInit = {}) {
    super(message, init.cause === undefined ? undefined : { cause: init.cause })
    this.name = new.target.name
    this.code = code
    this.next = init.next
  }
}

/** The caller asked for something that cannot be: a flag, a config value, an argument. */
export class InvalidParametersError extends FmtlError {
  constructor (message: string, init?: FmtlErrorInit) { super('ERR_INVALID_PARAMETERS', message, init) }
}

/** Files, columns, rows or labels that cannot be used. */
export class DataError extends FmtlError {
  constructor (message: string, init?: FmtlErrorInit) { super('ERR_DATA', message, init) }
}

/** A model trained elsewhere that cannot be used: its family, a tensor, its file, or not the one that the charter names. */
export class FoundationError extends FmtlError {
  constructor (message: string, init?: FmtlErrorInit) { super('ERR_FOUNDATION', message, init) }
}

/** A compute rung that does not load, or fails while computing. */
export class BackendError extends FmtlError {
  constructor (message: string, init?: FmtlErrorInit) { super('ERR_BACKEND', message, init) }
}

/** A gradient rule from a strategy file that throws, gives no numbers, or takes too long; the message names the file. */
export class RuleError extends FmtlError {
  constructor (message: string, init?: FmtlErrorInit) { super('ERR_RULE', message, init) }
}

/** Not enough memory, disk, ports or slots. */
export class ResourceError extends FmtlError {
  constructor (message: string, init?: FmtlErrorInit) { super('ERR_RESOURCE', message, init) }
}

/** A peer broke the protocol: the exchange ends and its score drops; the daemon goes on. */
export class ProtocolError extends FmtlError {
  constructor (message: string, init?: FmtlErrorInit & { code?: string }) { super(init?.code ?? 'ERR_PROTOCOL', message, init) }
}

/** Bytes from outside that are not what they claim to be. Thrown before anything is allocated for them. */
export class DecodeError extends ProtocolError {
  constructor (message: string, init?: FmtlErrorInit) { super(message, { ...init, code: 'ERR_DECODE' }) }
}

/** A host turned an attach request down; `code` of the refusal is kept, the text is its reason. */
export class RefusedError extends ProtocolError {
  constructor (message: string, init?: FmtlErrorInit) { super(message, { ...init, code: 'ERR_REFUSED' }) }
}

/** A wait ended by its deadline; the message names what was waited for and what was missing. */
export class DeadlineError extends FmtlError {
  constructor (message: string, init?: FmtlErrorInit) { super('ERR_DEADLINE', message, init) }
}

export class ShapeMismatchError extends FmtlError {
  readonly expected: readonly number[]
  readonly actual: readonly number[]
  constructor (expected: readonly number[], actual: readonly number[], what = 'tensor') {
    super('ERR_SHAPE_MISMATCH', `${what}: expected shape [${expected.join(', ')}], got [${actual.join(', ')}]`)
    this.expected = expected
    this.actual = actual
  }
}

/** Something that must stay at home was about to leave. Never caught and ignored. */
export class PrivacyError extends FmtlError {
  constructor (message: string, init?: FmtlErrorInit) { super('ERR_PRIVACY', message, init) }
}
