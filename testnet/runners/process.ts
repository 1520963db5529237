/**
 * Runs a plan as real daemons: one process a node, real TCP on loopback, one bootstrap address. Kills and restarts what a
 * scenario asks for; ends every process it started.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { FmtlError, ResourceError } from '../../src/errors.ts'
import { threadSettings } from '../../src/backend/compat.ts'
import { Settling } from './settling.ts'
import { spawnDaemon } from './daemon.ts'
import type { ChildProcess } from 'node:child_process'
import type { DaemonSpec } from '../../node/daemon.ts'
import type { NodeEvent } from '../../node/events.ts'
import type { TestnetPlan } from '../plan.ts'

/** SIGTERM drains within five seconds; whoever is still there after twice that is killed. */
const STOP_MS = 10_000
const SLOW_PERIOD_MS = 100
/** Errors after which a node goes on. */
const NOTICES: ReadonlySet<string> = new Set(['ERR_DELTA', 'ERR_CHECKPOINT', 'ERR_COMPUTE_LOST', 'ERR_DEADLINE', 'ERR_LEDGER', 'ERR_SPLIT'])

interface Running {
  readonly spec: DaemonSpec
  child: ChildProcess
  exited: Promise<number>
}

export class ProcessRunner {
  readonly #plan: TestnetPlan
  readonly #emit: (event: NodeEvent) => void
  readonly #running = new Map<string, Running>()
  readonly #reports = new Map<string, { resolve: () => void, reject: (error: Error) => void, done: Promise<void> }>()
  /** Nodes that were ended on purpose and have not been started again. */
  readonly #down = new Map<string, 'returns' | 'gone'>()
  /** Where hosts, and peers that trade models, can be reached, as they said. */
  readonly #addresses = new Map<string, readonly string[]>()
  readonly #settling = new Settling()
  #home: string | undefined
  #stopping = false

  constructor (plan: TestnetPlan, emit: (event: NodeEvent) => void) {
    this.#plan = plan
    this.#emit = event => {
      emit(event)
      this.#settling.add(event)
    }
    for (const { name } of plan.clients) {
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      promise.catch(() => undefined)
      this.#reports.set(name, { resolve, reject, done: promise })
    }
  }

  /** Starts all nodes and waits for every client's report; where models are traded, for all of them to be looked at too. @throws the first node's error that ends the run */
  async run (signal: AbortSignal): Promise<void> {
    const { hosts, clients, options, charter, rule, foundation, dataset, dataPath, dataOptions } = this.#plan
    this.#home = options.home ?? await mkdtemp(join(tmpdir(), 'fmtl-testnet-'))
    await mkdir(this.#home, { recursive: true })
    const charterPath = join(this.#home, 'charter.json')
    await writeFile(charterPath, JSON.stringify(charter))
    const port = options.port ?? await freePort()
    const first = [...hosts, ...clients][0]
    const bootstrap = `/ip4/127.0.0.1/tcp/${port}/p2p/${first?.peer}`
    const listen = (peer: string): string[] => [peer === first?.peer ? `/ip4/127.0.0.1/tcp/${port}` : '/ip4/127.0.0.1/tcp/0']
    const common = { charter: charterPath, ...rule === undefined ? {} : { strategy: rule.path }, ...foundation === undefined ? {} : { foundation: foundation.path }, seed: options.seed, profile: 'testnet' as const, control: options.control, baseline: options.baseline ?? true, ...options.backend === undefined ? {} : { backend: options.backend }, ...options.memoryBytes === undefined ? {} : { memoryBytes: options.memoryBytes } }
    hosts.forEach(host => this.#start({
      ...common,
      name: host.name,
      label: host.label,
      role: 'host',
      quorum: clients.filter(client => client.host === host.peer).length,
      peers: hosts.length - 1,
      slots: clients.length,
      listen: listen(host.peer),
      bootstrap: host === first ? [] : [bootstrap],
      prefer: [],
      home: join(this.#home as string, host.name)
    }))
    clients.forEach(client => this.#start({
      ...common,
      name: client.name,
      label: client.label,
      role: 'client',
      quorum: 1,
      peers: 0,
      slots: 1,
      listen: listen(client.peer),
      bootstrap: client === first ? [] : [bootstrap],
      prefer: client.host === '' ? [] : [client.host],
      data: { path: dataPath, client: client.data, options: { ...dataOptions, tasks: client.tasks, ...dataset.parts === undefined ? {} : { among: dataset.tasks.map(({ id }) => id) } } },
      home: join(this.#home as string, client.name)
    }))
    const aborted = (): void => this.#failAll(signal.reason instanceof Error ? signal.reason : new Error('stopped'))
    signal.addEventListener('abort', aborted, { once: true })
    if (signal.aborted) aborted()
    await Promise.all([...this.#reports.values()].map(async ({ done }) => { await done }))
    if (charter.bench !== undefined) await this.#settle(charter.clock.roundDeadlineMs, signal)
  }

  /** Who was trained first has reported first; what the others then offered is looked at too, within a deadline. */
  async #settle (ms: number, signal: AbortSignal): Promise<void> {
    const there = (): string[] => this.#plan.clients.map(({ name }) => name).filter(name => this.#down.get(name) !== 'gone')
    try {
      await this.#settling.rest(there, AbortSignal.any([signal, AbortSignal.timeout(ms)]))
    } catch {
      signal.throwIfAborted()
      for (const { node, models } of this.#settling.restless(there())) {
        this.#emit({ type: 'error', node, code: 'ERR_DEADLINE', message: `${models} models of others were not looked at within ${Math.round(ms / 1000)} s of the last report`, next: 'raise clock.roundDeadlineMs' })
      }
    }
  }

  /** SIGKILL, as a power cut would. @param end - whether `restart` will follow: a node that is gone is not waited for */
  kill (name: string, end: 'returns' | 'gone' = 'gone'): void {
    this.#end(name, 'SIGKILL', end)
  }

  /** Makes a node slow: of every 100 ms it gets only `share`, as on a machine that is busy otherwise. POSIX only. */
  slow (name: string, share: number): void {
    const child = this.#running.get(name)?.child
    const timer = setInterval(() => {
      if (child?.exitCode !== null || child.signalCode !== null || this.#stopping) return clearInterval(timer)
      child.kill('SIGSTOP')
      setTimeout(() => child.kill('SIGCONT'), SLOW_PERIOD_MS * (1 - share))
    }, SLOW_PERIOD_MS)
  }

  /** SIGTERM: the node saves and leaves. @returns its exit status, undefined where there is no such node */
  async terminate (name: string, end: 'returns' | 'gone' = 'gone'): Promise<number | undefined> {
    this.#end(name, 'SIGTERM', end)
    return await this.#running.get(name)?.exited
  }

  /** Starts an ended node again in its home, with its key: it should go on where it was. */
  async restart (name: string): Promise<void> {
    const running = this.#running.get(name)
    if (running === undefined) return
    await running.exited
    if (this.#stopping) return
    this.#down.delete(name)
    // Whoever was the bootstrap node may be the one that is gone: a node remembers the hosts it has met.
    const known = [...this.#addresses].flatMap(([host, addresses]) => host === name || this.#down.has(host) ? [] : addresses)
    this.#start({ ...running.spec, bootstrap: [...new Set([...running.spec.bootstrap, ...known])] })
  }

  /** SIGTERM to all, SIGKILL to whoever does not listen; removes the homes, unless somebody said where they are to be. */
  async stop (): Promise<void> {
    this.#stopping = true
    for (const { child } of this.#running.values()) child.kill('SIGCONT') // or a slowed one would not hear of it
    const killer = setTimeout(() => { for (const { child } of this.#running.values()) child.kill('SIGKILL') }, STOP_MS)
    for (const { child } of this.#running.values()) child.kill('SIGTERM')
    await Promise.all([...this.#running.values()].map(async ({ exited }) => await exited))
    clearTimeout(killer)
    if (this.#home !== undefined && this.#plan.options.home === undefined) await rm(this.#home, { recursive: true, force: true })
  }

  #end (name: string, signal: NodeJS.Signals, end: 'returns' | 'gone'): void {
    const running = this.#running.get(name)
    if (running === undefined) return
    this.#down.set(name, end)
    running.child.kill(signal)
    if (end === 'gone') this.#reports.get(name)?.resolve() // the summary says that there is none
  }

  #start (spec: DaemonSpec): void {
    const child = spawnDaemon(spec, this.#threads(spec), event => {
      this.#emit(event)
      if (event.type === 'node:started' && (spec.role === 'host' || event.roles.includes('peer'))) this.#addresses.set(spec.name, event.addresses)
      if (event.type === 'report') this.#reports.get(spec.name)?.resolve()
      if (event.type === 'error' && !NOTICES.has(event.code)) this.#failAll(new FmtlError(event.code, `${spec.name}: ${event.message}`, event.next === undefined ? {} : { next: event.next }))
    })
    const exited = new Promise<number>(resolve => {
      child.once('close', (code, signal) => {
        const exitCode = code ?? 128
        this.#emit({ type: 'node:stopped', node: spec.name, exitCode, reason: signal === null ? `exit status ${exitCode}` : `ended by ${signal}` })
        const expected = this.#stopping || this.#down.has(spec.name)
        if (!expected) this.#reports.get(spec.name)?.reject(new ResourceError(`${spec.name} ended with ${signal ?? `exit status ${exitCode}`}`))
        if (!this.#stopping && spec.role === 'host') this.#failIfNobodyHosts(spec.name)
        resolve(exitCode)
      })
    })
    let lastError = ''
    createInterface({ input: child.stderr }).on('line', line => { lastError = line })
    void exited.then(code => { if (code !== 0 && lastError !== '' && !this.#stopping && !this.#down.has(spec.name)) this.#emit({ type: 'error', node: spec.name, code: 'ERR_INTERNAL', message: lastError }) })
    this.#running.set(spec.name, { spec, child, exited })
  }

  /** Where processes outnumber cores, a second thread in each would only make them wait for each other. */
  #threads ({ role }: DaemonSpec): Record<string, string> {
    const { threads } = this.#plan.options
    if (threads === undefined && this.#nodes <= availableParallelism()) return {}
    return threadSettings((role === 'host' ? threads?.host : threads?.client) ?? 1)
  }

  get #nodes (): number { return this.#plan.hosts.length + this.#plan.clients.length }

  #failIfNobodyHosts (name: string): void {
    const hosts = [...this.#running.values()].filter(({ spec, child }) => spec.role === 'host' &&
      (this.#down.get(spec.name) === 'returns' || (child.exitCode === null && child.signalCode === null)))
    if (hosts.length === 0) this.#failAll(new ResourceError(`${name} has ended and no host is left`))
  }

  #failAll (error: Error): void { for (const { reject } of this.#reports.values()) reject(error) }
}

/** A port that was free a moment ago: the bootstrap address has to be known before its node is up. */
async function freePort (): Promise<number> {
  return await new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => { resolve(typeof address === 'object' && address !== null ? address.port : 0) })
    })
  })
}
