/**
 * `fmtl-node bench start`: how fast a daemon is ready, and what it costs while it waits. Whole processes, started as a
 * testnet starts them and measured from outside, one at a time:
 *
 *     ready     from spawn until the node listens, its rows are read and its model is checked
 *     compute   from spawn until it can take a step at once, rung and model loaded; a client does that when a host begins,
 *               so for this figure a host is there already
 *     idle      resident memory while it waits for clients, or for a host; the lag of its network thread since the start
 */
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { BenchOutput, spreadOf, withOutput } from './report.ts'
import { InvalidParametersError, ResourceError } from '../../src/errors.ts'
import { RUNGS, isRungName } from '../../src/backend/ladder.ts'
import { planTestnet } from '../plan.ts'
import { spawnDaemon } from '../runners/daemon.ts'
import type { BenchFlags } from './report.ts'
import type { Command } from 'commander'
import type { DaemonSpec } from '../../node/daemon.ts'
import type { NodeEvent } from '../../node/events.ts'
import type { RungName } from '../../src/backend/ladder.ts'

const ROLES = ['host', 'client'] as const
type Role = typeof ROLES[number]

interface Flags extends BenchFlags {
  starts: string
  rungs: string
  roles: string
  idle: string
}

/** What one start showed; bytes and milliseconds where it was left to wait. */
interface Started {
  readonly seconds: number
  readonly idleRssBytes: number
  readonly loopP99Ms: number
}

/** Gauges come every two seconds: a shorter wait might see none. */
const SHORTEST_IDLE_SECONDS = 3
/** A start that takes longer has failed. */
const START_MS = 60_000

export function registerStart (bench: Command): void {
  withOutput(bench.command('start').description('seconds until a daemon is ready, and its memory while it waits')
    .option('--starts <n>', 'starts per row', '5')
    .option('--rungs <a,b>', 'compute rungs', 'tensorflow,wasm')
    .option('--roles <a,b>', 'host, client or both', ROLES.join(','))
    .option('--idle <seconds>', 'how long a node waits before its memory is read', '5'),
  'fmtl-node bench start --starts 3 --rungs wasm')
    .action(async (flags: Flags) => { await run(flags) })
}

async function run (flags: Flags): Promise<void> {
  const output = new BenchOutput(flags, {
    title: 'Start and idle cost of a daemon',
    names: ['impl', 'role'],
    figures: ['readySeconds', 'computeSeconds', 'idleRssBytes', 'loopP99Ms']
  })
  const starts = number('--starts', flags.starts, 1)
  const idle = number('--idle', flags.idle, SHORTEST_IDLE_SECONDS)
  const rungs = flags.rungs.split(',')
  if (!rungs.every(isRungName)) throw new InvalidParametersError(`--rungs cannot be '${flags.rungs}'`, { next: `use some of ${RUNGS.join(', ')}` })
  const roles = flags.roles.split(',')
  if (!roles.every(isRole)) throw new InvalidParametersError(`--roles cannot be '${flags.roles}'`, { next: `use some of ${ROLES.join(', ')}` })
  const home = await mkdtemp(join(tmpdir(), 'fmtl-start-'))
  try {
    const specs = await prepare(home)
    for (const impl of rungs) {
      for (const role of roles) {
        output.progress(`${starts} starts as ${role} on ${impl}`)
        const alone: Started[] = []
        for (let i = 0; i < starts; i++) alone.push(await start(specs(role, impl), `${role}:ready`, idle))
        const ready = alone.map(({ seconds }) => seconds)
        output.row({
          bench: 'start',
          impl,
          role,
          readySeconds: spreadOf(ready),
          computeSeconds: spreadOf(role === 'host' ? ready : await withHost(specs, impl, starts)),
          idleRssBytes: spreadOf(alone.map(({ idleRssBytes }) => idleRssBytes)),
          loopP99Ms: spreadOf(alone.map(({ loopP99Ms }) => loopP99Ms))
        })
      }
    }
    await output.end()
  } finally {
    await rm(home, { recursive: true, force: true })
  }
}

type Specs = (role: Role, backend: RungName, bootstrap?: readonly string[]) => DaemonSpec

/** A host and a client of the built-in data. Every start has a home of its own: none goes on from another's checkpoint. */
async function prepare (home: string): Promise<Specs> {
  const plan = await planTestnet({ hosts: 1, data: 'scenes', strategy: 'fedbone', seed: 7, runner: 'process', control: true })
  const charter = join(home, 'charter.json')
  await writeFile(charter, JSON.stringify(plan.charter))
  const [client] = plan.clients
  if (client === undefined) throw new InvalidParametersError('the built-in data have no client')
  let count = 0
  return (role, backend, bootstrap = []) => ({
    name: role,
    label: role,
    role,
    backend,
    charter,
    seed: 7,
    profile: 'testnet',
    control: true,
    quorum: 1,
    peers: 0,
    slots: plan.clients.length,
    listen: ['/ip4/127.0.0.1/tcp/0'],
    bootstrap,
    prefer: [],
    home: join(home, String(count++)),
    ...role === 'host' ? {} : { data: { path: plan.dataPath, client: client.data, options: { ...plan.dataOptions, tasks: client.tasks } } }
  })
}

/** Seconds from a client's start until it computes, with a host that waits for it. */
async function withHost (specs: Specs, impl: RungName, starts: number): Promise<number[]> {
  const host = watch(specs('host', impl))
  try {
    const { addresses } = await host.event('node:started')
    await host.event('host:ready')
    const seconds: number[] = []
    for (let i = 0; i < starts; i++) seconds.push((await start(specs('client', impl, addresses), 'client:computing')).seconds)
    return seconds
  } finally {
    await host.end()
  }
}

async function start (spec: DaemonSpec, until: NodeEvent['type'], idleSeconds = 0): Promise<Started> {
  const daemon = watch(spec)
  try {
    await Promise.all([daemon.event('node:started'), daemon.event(until)])
    const seconds = (performance.now() - daemon.startedAt) / 1000
    if (idleSeconds === 0) return { seconds, idleRssBytes: NaN, loopP99Ms: NaN }
    await pause(1000 * idleSeconds)
    return { seconds, idleRssBytes: await residentBytes(daemon.pid), loopP99Ms: (await daemon.event('gauges')).loopLagP99Ms }
  } finally {
    await daemon.end()
  }
}

interface Daemon {
  readonly pid: number
  readonly startedAt: number
  /** The latest of this type, or the first to come. @throws {ResourceError} the node failed or took too long */
  event <T extends NodeEvent['type']>(type: T): Promise<Extract<NodeEvent, { type: T }>>
  end (): Promise<void>
}

function watch (spec: DaemonSpec): Daemon {
  const latest = new Map<NodeEvent['type'], NodeEvent>()
  const waiting = new Set<() => void>()
  let failure: ResourceError | undefined
  const wake = (): void => { for (const check of [...waiting]) check() }
  const fail = (reason: string): void => {
    failure ??= new ResourceError(`a ${spec.role} on ${spec.backend ?? 'any rung'} did not start: ${reason}`, { next: 'run `fmtl-node doctor`' })
    wake()
  }
  const startedAt = performance.now()
  const child = spawnDaemon(spec, {}, event => {
    latest.set(event.type, event)
    if (event.type === 'error') fail(event.message)
    else wake()
  })
  child.stderr.resume()
  const exited = once(child, 'close')
  const killer = setTimeout(() => {
    fail(`not ready within ${START_MS / 1000} s`)
    child.kill('SIGKILL')
  }, START_MS)
  void exited.then(() => { fail('it has ended') })
  return {
    pid: child.pid ?? 0,
    startedAt,
    event: async <T extends NodeEvent['type']>(type: T) => await new Promise<Extract<NodeEvent, { type: T }>>((resolve, reject) => {
      const check = (): void => {
        const event = latest.get(type)
        if (event !== undefined) resolve(event as Extract<NodeEvent, { type: T }>)
        else if (failure !== undefined) reject(failure)
        else return
        waiting.delete(check)
      }
      waiting.add(check)
      check()
    }),
    end: async () => {
      clearTimeout(killer)
      child.kill('SIGTERM')
      await exited
    }
  }
}

/** Linux knows best; other systems have `ps`. */
async function residentBytes (pid: number): Promise<number> {
  if (process.platform === 'linux') return 1024 * Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1])
  const { stdout } = await promisify(execFile)('ps', ['-o', 'rss=', '-p', String(pid)])
  return 1024 * Number(stdout)
}

function number (flag: string, value: string, least: number): number {
  const parsed = Number(value)
  if (!Number.isInteger(parsed) || parsed < least) throw new InvalidParametersError(`${flag} must be a whole number from ${least}, got '${value}'`)
  return parsed
}

function isRole (text: string): text is Role { return (ROLES as readonly string[]).includes(text) }
