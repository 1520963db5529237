/** What an audit finds, and how it is gathered. */

export interface Problem {
  /** Relative to the home. */
  readonly file: string
  /** From 1, where the file has entries. */
  readonly entry?: number
  readonly byte?: number
  readonly message: string
}

export interface SkippedRound {
  readonly round: number
  readonly why: string
}

export interface AuditReport {
  readonly ok: boolean
  /** Whose ledger it is; absent where there is none. */
  readonly author?: string
  readonly entries: number
  /** Rounds whose aggregate was computed again, and came out as the ledger says. */
  readonly recomputed: readonly number[]
  readonly skipped: readonly SkippedRound[]
  readonly problems: readonly Problem[]
}

/** `ledger.log: entry 17 (byte 5120): signature does not fit` */
export function inOneLine ({ file, entry, byte, message }: Problem): string {
  const place = entry === undefined ? byte === undefined ? '' : ` byte ${byte}:` : ` entry ${entry}${byte === undefined ? '' : ` (byte ${byte})`}:`
  return `${file}:${place} ${message}`
}

export type Say = (problem: Problem) => void
