/** What the members agreed on, in a checkpoint store: rows and rolls; the partition follows from them. */
import { DataError, DecodeError } from '../../src/errors.ts'
import { decodeRow, encodeRow } from '../../protocols/affinity/index.ts'
import type { Agreed } from './split-meeting.ts'
import type { Checkpoints } from '../store/memory.ts'

export async function saveAgreed (store: Checkpoints, { rows, rolls }: Agreed): Promise<void> {
  await store.save(0, [], { rows: JSON.stringify(rows.map(row => Buffer.from(encodeRow(row)).toString('base64'))), rolls: JSON.stringify([...rolls]) })
}

/** @throws {DataError} it was changed on the disk */
export async function loadAgreed (store: Checkpoints): Promise<Agreed | undefined> {
  const found = await store.latest()
  if (found === undefined) return undefined
  try {
    const [rows, rolls] = [JSON.parse(found.meta.rows ?? '') as string[], JSON.parse(found.meta.rolls ?? '') as Array<[string, string[]]>]
    return { rows: rows.map(row => decodeRow(Buffer.from(row, 'base64'))), rolls: new Map(rolls) }
  } catch (cause) {
    if (!(cause instanceof DecodeError || cause instanceof SyntaxError)) throw cause
    throw new DataError(`what was agreed on before this start cannot be read: ${cause.message}`, { cause, next: 'start in an empty home' })
  }
}
