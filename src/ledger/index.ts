export { Chain, ChainError, fromLine, toLine } from './chain.ts'
export { CONFLICT_FIGURES, MAX_LEDGER_ENTRY_BYTES, NONE, isAuthentic, readLedgerEntry, writeLedgerEntry } from './entry.ts'
export type { ConflictFigures, Contribution, LedgerAct, LedgerContext, LedgerEntry, LedgerKind, MergedDelta } from './entry.ts'
