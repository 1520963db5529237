/**
 * `fmtl-node doctor`: which rung of the compute ladder serves on this machine, how fast it is, why the ones above do not
 * serve, how others can reach this node, and what to type next. Every rung is loaded in a process of its own, so a crash is a line in the table.
 */
import { fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { availableParallelism, freemem, totalmem } from 'node:os'
import { fileURLToPath } from 'node:url'
import { examples, formatOption } from './help.ts'
import { exitStatus } from './exit-codes.ts'
import { examineNetwork, networkLines, notSaid } from '../network/examine.ts'
import { loadConfig } from '../config/config.ts'
import { parseAddress } from '../network/bootstrap.ts'
import { RUNGS, isRungName, rungsFor } from '../../src/backend/ladder.ts'
import { NoNodeError, request } from '../control/client.ts'
import { FmtlError, InvalidParametersError } from '../../src/errors.ts'
import type { NetworkExamination, NetworkReport } from '../network/examine.ts'
import type { ProbeMessage } from './doctor-probe.ts'
import type { RungName } from '../../src/backend/ladder.ts'
import type { Command } from 'commander'
import type { Format } from './help.ts'

/** tfjs-node takes 1 s to load and 1 s to measure, a software GPU 15 s; slower than 60 s, there is no use for the rung. */
const PROBE_TIMEOUT_MS = 60_000
/** A client with the built-in data peaks at about 400 MB; below twice that the machine will swap. */
const LOW_MEMORY_BYTES = 800 * 2 ** 20

export interface RungReport {
  readonly name: RungName
  readonly loads: boolean
  readonly gflops: number | null
  readonly trainStepMs: number | null
  /** The graphics device that computes, and whether it is one in software. */
  readonly device: string | null
  readonly software: boolean
  /** Why it does not serve, or null. */
  readonly reason: string | null
}

export interface DoctorReport {
  /** The rung that serves, or null where none loads. */
  readonly backend: RungName | null
  readonly rungs: readonly RungReport[]
  readonly network: NetworkReport
  readonly problems: readonly string[]
  readonly next: string
}

/** What computes here. */
export type Examination = Omit<DoctorReport, 'network'>

/** Who this machine is among the members, and where they are; undefined before it has joined. */
export type MembershipOf = (home: string) => Promise<Required<Pick<NetworkExamination, 'membership' | 'peers'>> | undefined>

interface Options { format: Format, fix?: boolean, home?: string, network?: boolean, peer: string[] }

export function registerDoctor (program: Command, membershipOf: MembershipOf = async () => undefined): void {
  const command = program.command('doctor')
    .description('show which compute backend serves here and how fast it is, how this node can be reached, and what to do about either')
    .addOption(formatOption())
    .option('--fix', 'install the native TensorFlow library first')
    .option('--home <folder>', 'home of the node (default: FMTL_HOME, else ~/.fmtl)')
    .option('--network', 'only how this node can be reached')
    .option('--peer <multiaddr>', 'a running node to ask whether it can dial this one; repeatable (default: the members that this node knows)', (value: string, all: string[]) => [...all, value], [])
    .action(async (options: Options) => {
      const prefer = preferred()
      for (const peer of options.peer) parseAddress(peer)
      if (options.fix === true) await installNative()
      const network = await lookAround(options, membershipOf)
      if (options.network === true) {
        process.stdout.write(options.format === 'json' ? `${JSON.stringify({ network })}\n` : `${networkLines(network).join('\n')}\n`)
        return
      }
      const report: DoctorReport = { ...await examine(prefer), network }
      process.stdout.write(options.format === 'json' ? JSON.stringify(report) + '\n' : table(report))
      if (report.backend == null) process.exitCode = exitStatus('ERR_BACKEND')
    })
  examples(command, 'fmtl-node doctor', 'fmtl-node doctor --network', 'FMTL_BACKEND=wasm fmtl-node doctor --format json')
}

/** The node of the home, if it runs, looks itself: nobody else can be this peer meanwhile. */
async function lookAround ({ home: wanted, peer }: Options, membershipOf: MembershipOf): Promise<NetworkReport> {
  const { node: { home }, network: { listen, announce } } = loadConfig({ env: process.env, flags: { 'node.home': wanted } })
  try {
    return await request<NetworkReport>(home, 'POST', '/network', { peers: peer })
  } catch (err) {
    if (!(err instanceof FmtlError)) throw err
    if (!(err instanceof NoNodeError)) return notSaid(`the running node does not say how it is reached: ${err.message}`)
  }
  const known = await membershipOf(home)
  return await examineNetwork({ listen, announce, peers: peer.length > 0 ? peer : known?.peers ?? [], ...known === undefined ? {} : { membership: known.membership } })
}

function preferred (): RungName | undefined {
  const name = process.env.FMTL_BACKEND
  if (name == null || name === '') return undefined
  if (isRungName(name)) return name
  throw new InvalidParametersError(`FMTL_BACKEND is '${name}', not one of ${RUNGS.join(', ')}`)
}

/**
 * @param prefer - the ladder starts here, and a software GPU asked for by name serves
 * @param untilServed - look at no rung that cannot serve: none above the preferred one, none below the one that does
 */
export async function examine (prefer?: RungName, untilServed = false): Promise<Examination> {
  const rungs: RungReport[] = []
  let backend: RungName | null = null
  for (const name of RUNGS) { // one after the other: they would share the cores
    if (untilServed && (backend !== null || (prefer !== undefined && RUNGS.indexOf(name) < RUNGS.indexOf(prefer)))) continue
    const found = await probeInChild(name)
    if (!found.loads) {
      rungs.push({ name, loads: false, gflops: null, trainStepMs: null, device: null, software: false, reason: withoutPrefix(name, found.reason) })
      continue
    }
    const idle = idleReason({ name, software: found.software, prefer, above: backend })
    if (idle == null) backend ??= name
    rungs.push({ name, loads: true, gflops: round(found.result.gflops), trainStepMs: round(found.result.trainStepMs), device: found.device, software: found.software, reason: idle })
  }
  return { backend, rungs, ...advise(backend, rungs) }
}

/**
 * Why a rung that loads is passed over, or null.
 * @param rung.above - the rung that serves, if it is one further up
 */
export function idleReason ({ name, software, prefer, above }: { readonly name: RungName, readonly software: boolean, readonly prefer: RungName | undefined, readonly above: RungName | null }): string | null {
  if (prefer != null && RUNGS.indexOf(name) < RUNGS.indexOf(prefer)) return `FMTL_BACKEND asks for ${prefer}`
  if (software && name !== prefer) return `its only adapter is software; FMTL_BACKEND=${name} uses it nevertheless`
  if (above !== null && prefer === undefined && rungsFor(0)[0] === name) return `serves models whose passes are too small for ${above}`
  return null
}

async function probeInChild (name: RungName): Promise<ProbeMessage> {
  const child = fork(fileURLToPath(new URL('./doctor-probe.ts', import.meta.url)), [name], {
    // Native libraries talk on both outputs; the report must stay one line of JSON.
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    env: { ...process.env, TF_CPP_MIN_LOG_LEVEL: '3' }
  })
  let message: ProbeMessage | undefined
  let late = false
  child.on('message', received => { message = received as ProbeMessage })
  const timer = setTimeout(() => {
    late = true
    child.kill('SIGKILL')
  }, PROBE_TIMEOUT_MS)
  const [code, signal] = await once(child, 'close') as [number | null, NodeJS.Signals | null]
  clearTimeout(timer)
  if (message != null) return message
  if (late) return { loads: false, reason: `no answer within ${PROBE_TIMEOUT_MS / 1000} s` }
  return { loads: false, reason: `its library ends the process (${signal ?? `exit status ${code}`})` }
}

function advise (backend: RungName | null, rungs: readonly RungReport[]): Pick<DoctorReport, 'problems' | 'next'> {
  const problems: string[] = []
  const native = rungs.find(rung => rung.name === 'tensorflow')
  if (native?.loads === false) problems.push(`tensorflow does not load: ${native.reason}`)
  if (backend == null) problems.push('no compute backend loads')
  if (totalmem() < LOW_MEMORY_BYTES) problems.push(`only ${mebibytes(totalmem())} MiB of memory`)
  if (backend == null) return { problems, next: 'npm run setup' }
  // No problem where a GPU does the work.
  if (native?.loads === false && backend !== 'webgpu') return { problems, next: 'fmtl-node doctor --fix' }
  return { problems, next: 'fmtl-node testnet up' }
}

async function installNative (): Promise<void> {
  const script = fileURLToPath(new URL('../../scripts/setup.mjs', import.meta.url))
  // Its progress goes to stderr; whether it helped is what the probes find.
  const child = spawn(process.execPath, [script, '--native'], { stdio: ['ignore', 2, 2] })
  await once(child, 'close')
}

function table (report: DoctorReport): string {
  const rows = report.rungs.map(rung => [
    rung.name === report.backend ? '>' : '',
    rung.name,
    rung.loads ? 'yes' : 'no',
    rung.gflops?.toFixed(1) ?? '-',
    rung.trainStepMs?.toFixed(2) ?? '-',
    `${rung.name === report.backend ? 'serves' : rung.reason ?? 'ready; a better one serves'}${rung.device == null ? '' : ` (${rung.device}${rung.software ? ', software' : ''})`}`
  ])
  const cells = [['', 'backend', 'loads', 'GFLOPS', 'train step ms', ''], ...rows]
  const widths = [0, 1, 2, 3, 4].map(column => Math.max(...cells.map(row => row[column]?.length ?? 0)))
  const isNumber = (column: number): boolean => column === 3 || column === 4
  const lines = cells.map(row => row.map((cell, column) =>
    isNumber(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)).join('  ').trimEnd())
  return [
    ...lines,
    '',
    `Node ${process.version}, ${availableParallelism()} CPU cores, ${mebibytes(freemem())} of ${mebibytes(totalmem())} MiB memory free`,
    '',
    ...networkLines(report.network),
    '',
    ...report.problems.map(problem => `problem: ${problem}`),
    `next: ${report.next}`,
    ''
  ].join('\n')
}

/** The table names the rung already. */
function withoutPrefix (name: RungName, reason: string): string {
  return reason.replace(`${name} does not load: `, '')
}

function round (value: number): number {
  return Math.round(value * 100) / 100
}

function mebibytes (bytes: number): number {
  return Math.round(bytes / 2 ** 20)
}
