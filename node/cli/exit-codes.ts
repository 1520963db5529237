/**
 * Exit statuses: one row per error code, so that a script can tell a mistake of its own from a peer that is away. Every
 * command ends with one of these; a code that is in the sources and not here fails a test.
 *
 *     0 done   1 our own fault   2-9 how it was called   10-19 data   20-29 this machine   30-39 network and peers
 *     40-49 membership and refusals   50-59 integrity and privacy   128 + n ended by signal n
 */

export interface ExitRow {
  readonly status: number
  /** The error's code; undefined for an end that is no error. */
  readonly code?: string
  readonly meaning: string
}

/** A run that ended in order but lost somebody: no error, no plain success either. */
export const EXIT_INCOMPLETE = 3
/** An audit that found something: the command itself did what it should. */
export const EXIT_NOT_AS_SIGNED = 55

export const EXIT_ROWS: readonly ExitRow[] = [
  { status: 0, meaning: 'done' },
  { status: 1, code: 'ERR_INTERNAL', meaning: 'a mistake in fmtl-node itself' },
  { status: 2, code: 'ERR_INVALID_PARAMETERS', meaning: 'a flag, setting or argument that cannot be' },
  { status: EXIT_INCOMPLETE, meaning: 'the run ended in order but lost a node' },
  { status: 10, code: 'ERR_DATA', meaning: 'files, columns, rows or labels that cannot be used' },
  { status: 11, code: 'ERR_SHAPE_MISMATCH', meaning: 'numbers of another shape than agreed' },
  { status: 12, code: 'ERR_FOUNDATION', meaning: 'a foundation model that cannot be used, or another one than agreed' },
  { status: 20, code: 'ERR_RESOURCE', meaning: 'not enough memory, disk, ports, or permission' },
  { status: 21, code: 'ERR_BACKEND', meaning: 'no compute backend loads, or it fails while computing' },
  { status: 22, code: 'ERR_COMPUTE_LOST', meaning: 'the compute device or its worker is gone' },
  { status: 22, code: 'ERR_NOT_STARTED', meaning: 'the node ended before it listened' },
  { status: 22, code: 'ERR_UNCLEAN_STOP', meaning: 'the node before this one did not stop in order' },
  { status: 22, code: 'ERR_LOG', meaning: 'the log of events cannot be written' },
  { status: 25, code: 'ERR_HOME_IN_USE', meaning: 'a node runs in this home already' },
  { status: 26, code: 'ERR_NO_NODE', meaning: 'no node runs in this home' },
  { status: 23, code: 'ERR_BENCH', meaning: 'a bench whose sides disagree or end early' },
  { status: 24, code: 'ERR_PEERS_UNAVAILABLE', meaning: 'a program to compare with is not installed' },
  { status: 27, code: 'ERR_RULE', meaning: 'the gradient rule of a strategy file failed while it ran' },
  { status: 30, code: 'ERR_PROTOCOL', meaning: 'a peer broke the protocol' },
  { status: 31, code: 'ERR_DECODE', meaning: 'bytes that are not what they claim to be' },
  { status: 32, code: 'ERR_DEADLINE', meaning: 'a wait ended by its deadline' },
  { status: 33, code: 'ERR_UNREACHABLE', meaning: 'a peer cannot be reached' },
  { status: 34, code: 'ERR_CLOSED', meaning: 'the connection to a peer closed' },
  { status: 34, code: 'ERR_ENDED', meaning: 'a peer ended the stream' },
  { status: 35, code: 'ERR_STALLED', meaning: 'a peer stopped in the middle of a message' },
  { status: 36, code: 'ERR_UNSUPPORTED', meaning: 'a peer does not offer the protocol, or an older version' },
  { status: 37, code: 'ERR_NOT_FOUND', meaning: 'no peer has what was asked for' },
  { status: 38, code: 'ERR_LATE', meaning: 'an answer came after its step had closed' },
  { status: 38, code: 'ERR_CREDITS', meaning: 'a peer sent more than it was allowed to' },
  { status: 38, code: 'ERR_BATCH', meaning: 'a peer sent a batch that is too large' },
  { status: 39, code: 'ERR_RELAYED', meaning: 'asked over a relay what takes a direct connection' },
  { status: 39, code: 'ERR_FOREIGN_NETWORK', meaning: 'the other side is in another private network' },
  { status: 40, code: 'ERR_REFUSED', meaning: 'a member or a host turned the request down' },
  { status: 41, code: 'ERR_BUSY', meaning: 'a host has no time for the request now' },
  { status: 42, code: 'ERR_FULL', meaning: 'a host has no place left' },
  { status: 43, code: 'ERR_SESSION', meaning: 'a session that is unknown, used or expired' },
  { status: 44, code: 'ERR_DONE', meaning: 'the training is complete already' },
  { status: 45, code: 'ERR_IDENTITY', meaning: 'a request in somebody else\'s name' },
  { status: 46, code: 'ERR_CONSORTIUM', meaning: 'a member of another consortium' },
  { status: 47, code: 'ERR_CHARTER', meaning: 'the charter has changed meanwhile' },
  { status: 50, code: 'ERR_PRIVACY', meaning: 'something that must stay at home was about to leave' },
  { status: 51, code: 'ERR_CHECKPOINT', meaning: 'a checkpoint that is damaged or of another model' },
  { status: 52, code: 'ERR_BLOB', meaning: 'a payload that does not match its hash, or that nobody delivered' },
  { status: 53, code: 'ERR_DELTA', meaning: 'a delta that cannot be used' },
  { status: 53, code: 'ERR_SPLIT', meaning: 'what members say about how to split the tasks cannot be used' },
  { status: 54, code: 'ERR_LEDGER', meaning: 'the ledger is damaged, another node\'s, or cannot be written' },
  { status: 54, code: 'ERR_MEMBER_LOG', meaning: 'entries of the member log that cannot be' },
  { status: EXIT_NOT_AS_SIGNED, meaning: '`audit verify` found what is not as it was signed' },
  { status: 130, code: 'ERR_INTERRUPTED', meaning: 'stopped by Ctrl-C or a signal before it was done' }
]

const STATUS: ReadonlyMap<string, number> = new Map(EXIT_ROWS.flatMap(({ code, status }) => code === undefined ? [] : [[code, status]]))

/** The exit status of an error code; that of a fault of ours for one without a row. */
export function exitStatus (code: string): number { return STATUS.get(code) ?? 1 }
