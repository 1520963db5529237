/** What sites say about the affinity of tasks: contract <-> bytes. Wire format: ./README.md. */
import { DecodeError } from '../../src/errors.ts'
import { MAX_AFFINITY_BYTES, MAX_PEERS, MAX_TASKS, MAX_TENSOR_NAME_BYTES } from '../limits.ts'
import { atMost, checked, hash, parse, text, texts, whole } from '../wire.ts'
import * as pb from './messages.generated.ts'

/** What one site measured: n rows of n cells, row = the task that steps, column = the task that is watched. */
export interface AffinityRow {
  readonly site: string
  /** Hash of the charter that was trained under. */
  readonly charter: string
  /** The tasks of this site, n of them. */
  readonly tasks: readonly string[]
  /** Sums of what was measured, and of how many batches; 0 where nothing was. */
  readonly sums: Float32Array
  readonly counts: Uint32Array
}

export interface AffinityRoll {
  readonly charter: string
  readonly clients: readonly string[]
}

export interface RowReference {
  readonly site: string
  readonly hash: string
  readonly bytes: number
}

export interface AffinityClaim {
  readonly charter: string
  readonly partition: string
  readonly rows: readonly RowReference[]
}

export type AffinityMessage = { readonly row: AffinityRow } | { readonly roll: AffinityRoll } | { readonly claim: AffinityClaim }

const CELL_BYTES = 4

/** The bytes that a row's hash is of. */
export function encodeRow (row: AffinityRow): Uint8Array {
  return checked('an affinity row', () => pb.AffinityRow.encode(rowToWire(row)))
}

export function decodeRow (bytes: Uint8Array): AffinityRow {
  return readRow(parse(bytes, MAX_AFFINITY_BYTES, 'affinity row', bytes => pb.AffinityRow.decode(bytes, { limits: { tasks: MAX_TASKS } })))
}

export function encodeAffinity (message: AffinityMessage): Uint8Array {
  return checked('what a site says about affinity', () => {
    if ('row' in message) return pb.AffinityMessage.encode({ row: rowToWire(message.row) })
    if ('roll' in message) return pb.AffinityMessage.encode({ roll: readRoll(message.roll) })
    return pb.AffinityMessage.encode({ claim: readClaim(message.claim) })
  })
}

export function decodeAffinity (bytes: Uint8Array): AffinityMessage {
  const { row, roll, claim } = parse(bytes, MAX_AFFINITY_BYTES, 'affinity message', bytes => pb.AffinityMessage.decode(bytes, { limits: { row: { tasks: MAX_TASKS }, roll: { clients: MAX_PEERS }, claim: { rows: MAX_PEERS } } }))
  if ([row, roll, claim].filter(part => part != null).length !== 1) throw new DecodeError('affinity message: expected one of row, roll, claim')
  if (row != null) return { row: readRow(row) }
  return roll != null ? { roll: readRoll(roll) } : { claim: readClaim(claim as pb.AffinityClaim) }
}

function rowToWire (row: AffinityRow): pb.AffinityRow {
  const message = { site: row.site, charter: row.charter, tasks: [...row.tasks], sums: toBytes(row.sums), counts: toBytes(row.counts) }
  readRow(message)
  return message
}

/** Sizes first: nothing is read into memory that the number of tasks does not ask for. */
function readRow ({ site, charter, tasks, sums, counts }: pb.AffinityRow): AffinityRow {
  const names = different(texts(tasks, 'task', MAX_TASKS, MAX_TENSOR_NAME_BYTES), 'task')
  if (names.length === 0) throw new DecodeError('affinity row of no task')
  const cells = names.length ** 2
  for (const [what, { byteLength }] of Object.entries({ sums, counts })) if (byteLength !== cells * CELL_BYTES) throw new DecodeError(`affinity row of ${names.length} tasks with ${byteLength} bytes of ${what}`)
  const row = {
    site: text(site, 'site'),
    charter: text(charter, 'charter'),
    tasks: names,
    sums: Float32Array.from({ length: cells }, (_, at) => view(sums).getFloat32(at * CELL_BYTES, true)),
    counts: Uint32Array.from({ length: cells }, (_, at) => view(counts).getUint32(at * CELL_BYTES, true))
  }
  if (!row.sums.every(Number.isFinite)) throw new DecodeError('affinity row with a sum that is not finite')
  if (row.sums.some((sum, at) => sum !== 0 && row.counts[at] === 0)) throw new DecodeError('affinity row with a sum of no batch')
  return row
}

function readRoll ({ charter, clients }: AffinityRoll): pb.AffinityRoll {
  return { charter: text(charter, 'charter'), clients: different(texts(clients, 'client', MAX_PEERS), 'client') }
}

function readClaim ({ charter, partition, rows }: AffinityClaim): pb.AffinityClaim {
  atMost(rows.length, 'rows', MAX_PEERS)
  const references = rows.map(({ site, hash: of, bytes }) => ({ site: text(site, 'site'), hash: hash(of, 'row'), bytes: whole(bytes, 'bytes of a row', 1, MAX_AFFINITY_BYTES) }))
  different(references.map(({ site }) => site), 'site')
  return { charter: text(charter, 'charter'), partition: hash(partition, 'partition'), rows: references }
}

function different (names: string[], what: string): string[] {
  if (new Set(names).size !== names.length) throw new DecodeError(`a ${what} is named twice`)
  return names
}

function view ({ buffer, byteOffset, byteLength }: Uint8Array): DataView { return new DataView(buffer, byteOffset, byteLength) }

function toBytes (cells: Float32Array | Uint32Array): Uint8Array {
  const bytes = new Uint8Array(cells.length * CELL_BYTES)
  cells.forEach((cell, at) => { cells instanceof Float32Array ? view(bytes).setFloat32(at * CELL_BYTES, cell, true) : view(bytes).setUint32(at * CELL_BYTES, cell, true) })
  return bytes
}
