/**
 * One implementation of one rule in a process of its own, for ./aggregate.ts: makes the rows, then aggregates them once for
 * each line on standard input and answers with a line of JSON. Arguments: implementation, rule, rows, floats.
 *
 * Memory is the highest resident size so far less that before the rows were made, so its first answer is that of one
 * aggregation; later ones may hold what the collector has not taken yet.
 */
import { mkdtemp, open, rm } from 'node:fs/promises'
import { existsSync, readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { RowSource } from '../../src/projection/index.ts'

const [impl, name = '', rows, floats] = [process.argv[2], process.argv[3], Number(process.argv[4]), Number(process.argv[5])]
/** Numbers that are made or written at a time. */
const PIECE = 65_536

// before the kernels load: they then find no SIMD, as in a process that has none
if (impl === 'plain') Object.assign((globalThis as unknown as { WebAssembly: object }).WebAssembly, { validate: () => false })
const { createRule } = await import('../../src/projection/index.ts')
const { Random } = await import('../../src/random.ts')

/** VmRSS (now) or VmHWM (highest so far), bytes; where there is no /proc, what Node says of both. */
function resident (key: 'VmRSS' | 'VmHWM'): number {
  if (!existsSync('/proc/self/status')) return key === 'VmRSS' ? process.memoryUsage.rss() : process.resourceUsage().maxRSS * 1024
  return Number(new RegExp(`${key}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) * 1024
}

/** In (-1, 1), the same for every implementation: a hash of the position and the row. */
function noise (k: number, i: number): number {
  let h = Math.imul(k + 1, 2654435769)
  h = Math.imul(h ^ (h >>> 15), 2 * i + 0x85ebca6b)
  return (h ^ (h >>> 13)) / 2 ** 31
}

/** A piece of row i: its own noise, and a part that all rows share, which every third row has the other way round. */
function fill (row: Float32Array, i: number, from: number): void {
  const common = i % 3 === 0 ? -0.5 : 0.5
  for (let k = 0; k < row.length; k++) row[k] = noise(from + k, i) + common * noise(from + k, rows)
}

/** The rows as files, of which a block is read at a time. */
async function filesOf (folder: string): Promise<RowSource> {
  const piece = new Float32Array(PIECE)
  const files = await Promise.all(Array.from({ length: rows }, async (_, i) => await open(join(folder, `${i}`), 'w+')))
  const blocks = files.map(() => new Float32Array(PIECE))
  for (const [i, file] of files.entries()) {
    for (let from = 0; from < floats; from += PIECE) {
      const part = piece.subarray(0, Math.min(PIECE, floats - from))
      fill(part, i, from)
      await file.write(part, 0, part.byteLength, 4 * from)
    }
  }
  return {
    rows,
    length: floats,
    async block (from, to) {
      const parts = blocks.map(block => block.subarray(0, to - from))
      await Promise.all(files.map(async (file, i) => await file.read(parts[i] as Float32Array, 0, 4 * (to - from), 4 * from)))
      return parts
    }
  }
}

const rule = createRule(name, name === 'gp' ? { order: 'ids' } : {})
const ctx = { ids: Array.from({ length: rows }, (_, i) => String(i).padStart(6, '0')), random: new Random(1) }
const base = resident('VmRSS')
const folder = impl === 'stream' ? await mkdtemp(join(tmpdir(), 'fmtl-rows-')) : undefined
try {
  let aggregate: () => Promise<{ update: Float32Array }>
  if (folder === undefined) {
    const inputs = Array.from({ length: rows }, (_, i) => {
      const row = new Float32Array(floats)
      fill(row, i, 0)
      return row
    })
    aggregate = async () => rule.aggregate(inputs, ctx)
  } else {
    const source = await filesOf(folder)
    aggregate = async () => await rule.aggregateStream(source, ctx)
  }
  console.log(JSON.stringify({ ready: true }))
  const requests = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
  while ((await requests.next()).done !== true) {
    const startedAt = performance.now()
    const { update } = await aggregate()
    const seconds = (performance.now() - startedAt) / 1000
    const peakBytes = resident('VmHWM') - base
    console.log(JSON.stringify({ seconds, peakBytes, sample: Array.from({ length: 8 }, (_, i) => update[Math.floor(i * (floats - 1) / 7)]) }))
  }
} finally {
  if (folder !== undefined) await rm(folder, { recursive: true, force: true })
}
