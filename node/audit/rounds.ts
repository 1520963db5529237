/**
 * Whether the shared state is what the ledger says: held to the checkpoints that are left, and, where all hosts merge by one
 * rule, computed again from the deltas.
 */
import { readFile, readdir, stat } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { DELTA_FOLDER, LEDGER_FILE } from '../ledger.ts'
import { FmtlError } from '../../src/errors.ts'
import { listCheckpoints, readCheckpoint } from '../store/checkpoints.ts'
import { agreedHash, mergeDeltas, stateHash } from '../../src/training/merge.ts'
import { packedBytes, unpackUnits } from '../../src/compression/index.ts'
import { sha256InPieces } from '../../src/hashing.ts'
import type { Checkpoint, StoredFile } from '../store/checkpoints.ts'
import type { DeltaEntry } from '../../src/training/host-trainer.ts'
import type { LedgerEntry, MergedDelta } from '../../src/ledger/index.ts'
import type { RoundStart } from '../../src/training/merge.ts'
import type { Say, SkippedRound } from './report.ts'

export type RoundEntry = LedgerEntry & { readonly kind: 'round' }

export interface Recomputed {
  readonly recomputed: readonly number[]
  readonly skipped: readonly SkippedRound[]
}

/** @param rounds - in the order of the ledger */
export async function auditRounds (home: string, rounds: readonly RoundEntry[], say: Say): Promise<Recomputed> {
  const standing = standingOf(rounds)
  const recomputed: number[] = []
  const why = new Map<RoundEntry, string>(standing.map(entry => [entry, reasonNotTo(entry) ?? 'no checkpoint from before it is left']))
  for (const dir of await checkpointFolders(home)) {
    const files = await listCheckpoints(dir)
    const [newest] = files
    const last = standing.at(-1)
    if (newest !== undefined && last !== undefined && isBoundary(newest, last) && newest.step > last.step) {
      say({ file: LEDGER_FILE, message: `it ends with round ${last.round}, at step ${last.step}; ${relative(home, join(dir, newest.name))} is from a later round: entries were cut off` })
    }
    for (const file of files) {
      const at = standing.find(({ step }) => step === file.step)
      const next = standing.find(entry => file.step < entry.step && file.step >= entry.step - stepsOf(entry))
      if (at === undefined && next === undefined) continue
      const checkpoint = await readCheckpoint(dir, file).catch((error: unknown) => { if (!isGone(error)) throw error })
      if (checkpoint === undefined) continue // a running node has replaced it meanwhile
      const path = relative(home, join(dir, file.name))
      if (typeof checkpoint === 'string') {
        say({ file: path, message: checkpoint })
        continue
      }
      const start = startOf(checkpoint)
      const state = stateHash(start.anchor)
      if (at !== undefined && at.after !== state) say({ file: LEDGER_FILE, entry: at.seq, message: `round ${at.round} ended with state ${at.after.slice(0, 12)}, says the entry; ${path} holds ${state.slice(0, 12)}` })
      if (next === undefined) continue
      if (next.before !== state) {
        why.set(next, `it began with another state than ${path} holds`)
        say({ file: LEDGER_FILE, entry: next.seq, message: `round ${next.round} began with state ${next.before.slice(0, 12)}, says the entry; ${path} holds ${state.slice(0, 12)}` })
        continue
      }
      if (!why.has(next) || reasonNotTo(next) !== undefined) continue
      const held = start.agreed === undefined ? undefined : agreedHash(start.agreed)
      if (next.history !== undefined && next.history !== held) {
        why.set(next, `its rule looked at another history than ${path} holds`)
        say({ file: LEDGER_FILE, entry: next.seq, message: `the rule of round ${next.round} looked at ${next.history.slice(0, 12)}, says the entry; ${path} holds ${held?.slice(0, 12) ?? 'no history'}` })
        continue
      }
      const outcome = await recompute(home, next, start)
      if ('why' in outcome) {
        why.set(next, outcome.why)
        continue
      }
      why.delete(next)
      if (outcome.state === next.after) recomputed.push(next.round)
      else if (outcome.state === undefined) say({ file: LEDGER_FILE, entry: next.seq, message: `the merge that it describes cannot be: ${outcome.impossible}` })
      else say({ file: LEDGER_FILE, entry: next.seq, message: `the ${next.merged.length} deltas of round ${next.round} give state ${outcome.state.slice(0, 12)}, the entry says ${next.after.slice(0, 12)}` })
    }
  }
  return { recomputed: recomputed.sort((a, b) => a - b), skipped: standing.flatMap(entry => why.has(entry) ? [{ round: entry.round, why: why.get(entry) as string }] : []) }
}

/** Content against name, for every delta that is kept. */
export async function auditDeltas (home: string, say: Say): Promise<void> {
  const names = await readdir(join(home, DELTA_FOLDER)).catch(() => [])
  for (const name of names.sort()) {
    if (!/^[0-9a-f]{64}$/.test(name)) continue
    const file = `${DELTA_FOLDER}/${name}`
    try {
      const found = await sha256InPieces(await readFile(join(home, file)))
      if (found !== name) say({ file, message: `its content is ${found.slice(0, 12)}, not what its name says` })
    } catch (error) {
      if (!isGone(error)) throw error // a running node has removed it meanwhile
    }
  }
}

/** Rounds that were done twice, after a fall back to a checkpoint, count as they were done last. */
function standingOf (rounds: readonly RoundEntry[]): RoundEntry[] {
  const standing: RoundEntry[] = []
  for (const entry of [...rounds].reverse()) {
    const [next] = standing
    if (Number.isInteger(stepsOf(entry)) && (next === undefined || entry.step < next.step)) standing.unshift(entry)
  }
  return standing
}

/** Steps of a round. */
function stepsOf ({ round, step }: RoundEntry): number { return step / (round + 1) }

function isBoundary ({ step }: StoredFile, entry: RoundEntry): boolean { return step % stepsOf(entry) === 0 }

function reasonNotTo ({ merge: { mode }, accepted, merged }: RoundEntry): string | undefined {
  if (mode === 'none') return 'hosts never meet by charter'
  if (mode === 'select') return 'clients chose the deltas by their hold-outs'
  if (accepted !== 'merged' || merged.length === 0) return 'no other host\'s delta was there'
  return undefined
}

function startOf ({ tensors }: Checkpoint): RoundStart {
  const ending = (end: string): Array<[string, Float32Array]> =>
    tensors.flatMap(({ name, tensor }): Array<[string, Float32Array]> => name.endsWith(end) ? [[name.slice(0, -end.length), tensor.data]] : [])
  const velocity = ending('.velocity')
  const agreed = tensors.find(({ name }) => name === 'agreed')?.tensor.data
  return { anchor: Object.fromEntries(ending('.anchor')), velocity: velocity.length === 0 ? undefined : Object.fromEntries(velocity), agreed }
}

type Outcome =
  | { readonly state: string }
  | { readonly state?: undefined, readonly impossible: string }
  /** It could not be tried. */
  | { readonly why: string }

async function recompute (home: string, entry: RoundEntry, start: RoundStart): Promise<Outcome> {
  const sizes = Object.fromEntries(Object.entries(start.anchor).map(([name, data]) => [name, data.length]))
  const payloads: Uint8Array[] = []
  for (const merged of entry.merged) {
    const payload = await readDelta(home, merged, packedBytes(sizes, merged.codec))
    if (typeof payload === 'string') return { why: `delta ${merged.cid.slice(0, 12)} ${payload}` }
    payloads.push(payload)
  }
  try {
    const deltas = entry.merged.map(({ host, weight, codec }, i): DeltaEntry => ({ id: host, weight, units: unpackUnits(payloads[i] as Uint8Array, sizes, codec) }))
    return { state: stateHash(mergeDeltas(entry.merge, start, deltas, { round: entry.round, history: entry.history !== undefined }).state) }
  } catch (error) {
    if (!(error instanceof FmtlError)) throw error
    return { impossible: error.message }
  }
}

/** @returns the payload, or what is wrong with it */
async function readDelta (home: string, { cid }: MergedDelta, bytes: number): Promise<Uint8Array | string> {
  const path = join(home, DELTA_FOLDER, cid)
  try {
    const { size } = await stat(path)
    if (size > bytes) return `has ${size} bytes, at most ${bytes} were expected`
    const payload = await readFile(path)
    return await sha256InPieces(payload) === cid ? payload : 'is damaged'
  } catch (error) {
    if (!isGone(error)) throw error
    return 'is not kept any more'
  }
}

/** In the home itself, and in a folder for each charter. */
async function checkpointFolders (home: string): Promise<string[]> {
  const names = await readdir(home).catch(() => [])
  const folders = ['.', ...names.filter(name => /^[0-9a-f]{16}$/.test(name))].map(name => join(home, name, 'checkpoints', 'host'))
  const there = await Promise.all(folders.map(async folder => (await stat(folder).catch(() => undefined))?.isDirectory() === true))
  return folders.filter((_, i) => there[i])
}

function isGone (error: unknown): boolean {
  const { code, cause } = error as { code?: string, cause?: { code?: string } }
  return code === 'ENOENT' || cause?.code === 'ENOENT'
}
