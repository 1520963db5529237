/** `fmtl-node audit`: what this node did, and whether its records are what was signed. Exit status 1 when they are not. */
import { join } from 'node:path'
import { EXIT_NOT_AS_SIGNED } from './exit-codes.ts'
import { examples, formatOption } from './help.ts'
import { InvalidParametersError } from '../../src/errors.ts'
import { LEDGER_FILE } from '../ledger.ts'
import { audit } from '../audit/audit.ts'
import { auditConsortium } from '../audit/consortium.ts'
import { clean, list, plural, table } from './format.ts'
import { inOneLine } from '../audit/report.ts'
import { loadConfig } from '../config/config.ts'
import { scanLedger } from '../store/ledger-store.ts'
import type { AuditReport, SkippedRound } from '../audit/report.ts'
import type { Command } from 'commander'
import type { LedgerDamage } from '../store/ledger-store.ts'
import type { LedgerEntry } from '../../src/ledger/index.ts'

interface Flags {
  readonly home?: string
  readonly format: 'text' | 'json'
}

export function registerAudit (program: Command): void {
  const command = program.command('audit').description('what this node did, and whether its records still are what was signed')
  const checks = command.command('verify')
    .description('check ledger, member log, charter and kept deltas, and compute the newest merges again; reads only')
    .option('--home <folder>', 'home of the node')
    .option('--against <file>', 'a copy of this ledger that was handed out before; may be repeated', (value: string, all: string[]) => [...all, value], [])
    .addOption(formatOption())
    .action(async (flags: Flags & { against: string[] }) => { await verify(flags) })
  const shows = command.command('show')
    .description('who contributed what to which version')
    .option('--home <folder>', 'home of the node')
    .option('--since <n>', 'from this entry on', '1')
    .addOption(formatOption())
    .action(async (flags: Flags & { since: string }) => { await show(flags) })
  examples(checks, 'fmtl-node audit verify', 'fmtl-node audit verify --against copy-of-ledger.log')
  examples(shows, 'fmtl-node audit show --since 100')
}

function homeOf ({ home }: Flags): string { return loadConfig({ env: process.env, flags: { 'node.home': home } }).node.home }

async function verify (flags: Flags & { against: string[] }): Promise<void> {
  const json = flags.format === 'json'
  const report = await audit(homeOf(flags), {
    against: flags.against,
    onProblem: problem => { print(json ? JSON.stringify({ type: 'problem', ...problem }) : `problem: ${clean(inOneLine(problem))}`) }
  })
  if (json) print(JSON.stringify({ type: 'summary', ...report }))
  else describe(report).forEach(print)
  if (!report.ok) process.exitCode = EXIT_NOT_AS_SIGNED
}

function describe ({ ok, author, entries, recomputed, skipped, problems }: AuditReport): string[] {
  return [
    author === undefined ? 'no ledger here' : `ledger of ${author}: ${entries} ${entries === 1 ? 'entry' : 'entries'}`,
    ...recomputed.length === 0 ? [] : [`computed again, with the same result: ${recomputed.length === 1 ? 'round' : 'rounds'} ${ranges(recomputed)}`],
    ...byReason(skipped).map(([why, rounds]) => `not computed again: ${rounds.length === 1 ? 'round' : 'rounds'} ${ranges(rounds)} (${clean(why)})`),
    ok ? 'all of it is as it was signed' : `${plural(problems.length, 'problem')}: keep this folder as it is, and compare with the other members' copies`
  ]
}

function byReason (skipped: readonly SkippedRound[]): Array<[string, number[]]> {
  const reasons = new Map<string, number[]>()
  for (const { round, why } of skipped) reasons.set(why, [...reasons.get(why) ?? [], round])
  return [...reasons]
}

/** 0-3, 5 */
function ranges (ascending: readonly number[]): string {
  const parts: Array<[number, number]> = []
  for (const n of ascending) {
    const last = parts.at(-1)
    if (last !== undefined && last[1] === n - 1) last[1] = n
    else parts.push([n, n])
  }
  return parts.map(([from, to]) => from === to ? String(from) : `${from}-${to}`).join(', ')
}

async function show (flags: Flags & { since: string }): Promise<void> {
  const since = Number(flags.since)
  if (!Number.isInteger(since) || since < 1) throw new InvalidParametersError(`--since must be a whole number from 1, got ${flags.since}`)
  const home = homeOf(flags)
  const names = (await auditConsortium(home, () => {}))?.names ?? new Map<string, string>()
  const name = (peer: string): string => clean(names.get(peer) ?? `..${peer.slice(-8)}`)
  const json = flags.format === 'json'
  const rows: string[][] = []
  let damage: LedgerDamage | undefined
  let shown = 0
  const { entries } = await scanLedger(join(home, LEDGER_FILE), {
    signatures: 'newest',
    onDamage: found => { damage ??= found },
    onEntry: entry => {
      if (entry.seq < since || damage !== undefined) return
      shown++
      if (json) print(JSON.stringify(facts(entry)))
      else rows.push(row(entry, name))
    }
  })
  if (entries === 0 && damage === undefined) throw new InvalidParametersError(`no ledger in ${home}, or an empty one`, { next: 'give the home of a node that has run: --home FOLDER' })
  if (json) print(JSON.stringify({ type: 'summary', entries, shown, ok: damage === undefined }))
  else table(COLUMNS, rows, { width: process.stdout.columns ?? 160 }).forEach(print)
  if (damage === undefined) return
  process.stderr.write(`fmtl-node: ${damage.message}; next: fmtl-node audit verify --home ${home}\n`)
  process.exitCode = 1
}

const COLUMNS = [
  { title: 'entry', align: 'right' }, { title: 'time' }, { title: 'what' }, { title: 'round', align: 'right' }, { title: 'step', align: 'right' },
  { title: 'contributors', shrink: true }, { title: 'merged', shrink: true }, { title: 'accepted', shrink: true }, { title: 'state' }
] as const

function row (entry: LedgerEntry, name: (peer: string) => string): string[] {
  const head = [String(entry.seq), new Date(entry.at).toISOString().slice(0, 19).replace('T', ' '), entry.kind]
  switch (entry.kind) {
    case 'start': return [...head, '', '', `as ${list(entry.roles)}, ${clean(entry.software)}`]
    case 'stop': return [...head, '', '', clean(entry.reason)]
    case 'take': return [...head, String(entry.round), String(entry.step), '', '', `from ${name(entry.host)}`, `report ${entry.report.slice(0, 12)}`]
    case 'round': return [
      ...head, String(entry.round), String(entry.step),
      entry.contributors.map(({ client, steps }) => `${name(client)} x${steps}`).join(', '),
      entry.merged.map(({ host, round }) => round === entry.round ? name(host) : `${name(host)} (of round ${round})`).join(', '),
      ['own', 'merged'].includes(entry.accepted) ? entry.accepted : name(entry.accepted),
      entry.after.slice(0, 12)
    ]
  }
}

/** An entry without its bytes. */
function facts ({ kind, bytes, ...fields }: LedgerEntry): Record<string, unknown> {
  return { type: 'entry', kind, ...fields, size: bytes.byteLength }
}

function print (line: string): void { process.stdout.write(`${line}\n`) }
