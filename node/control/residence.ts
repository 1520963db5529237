/**
 * A node at home: holds the home's lock, listens on its control socket, keeps its event log, and knows its status. From
 * `open` to the end of the process; what others add to the control API comes in as routes.
 */
import { rmSync } from 'node:fs'
import { ControlServer } from './server.ts'
import { EventLog, logPaths, makeLogFolder } from '../telemetry/log-files.ts'
import { Facts } from '../telemetry/facts.ts'
import { NoNodeError, request } from './client.ts'
import { controlPath } from './path.ts'
import { lockHome } from '../store/lock.ts'
import { statusOf } from '../telemetry/status.ts'
import type { FactsInit, NodeView } from '../telemetry/facts.ts'
import type { Lock } from '../store/lock.ts'
import type { NodeEvent } from '../events.ts'
import type { NodeStatus, PeerFacts } from '../telemetry/status.ts'
import type { Route } from './server.ts'

export interface ResidenceInit extends Omit<FactsInit, 'node' | 'now' | 'wall' | 'free'> {
  readonly emit: (event: NodeEvent) => void
  /** Beside GET /status, GET /peers and POST /stop. */
  readonly routes?: readonly Route[]
}

export interface StopAnswer { readonly pid: number }
export interface PeersAnswer { readonly peers: readonly PeerFacts[] }
export type StatusAnswer = NodeStatus

/** Peers that leave between two looks were there a moment before, ms. */
const SAMPLE_MS = 2_000
/** Whoever holds a socket answers this soon, or does not hold it, ms. */
const ANSWERS_MS = 2_000

export class Residence {
  readonly #facts: Facts
  readonly #log: EventLog
  readonly #emit: (event: NodeEvent) => void
  readonly #stop = new AbortController()
  #node: { readonly view: NodeView } | undefined

  private constructor (init: ResidenceInit) {
    this.#facts = new Facts({ ...init, node: () => this.#node?.view })
    this.#emit = init.emit
    this.#log = new EventLog(logPaths(init.home).events, {
      onProblem: error => { init.emit({ type: 'error', node: init.name, code: 'ERR_LOG', message: (error as Error).message }) }
    })
  }

  /**
   * @throws {HomeInUseError} a node runs there
   * @throws {ResourceError} the home cannot be written, or the socket not made
   */
  static async open (init: ResidenceInit): Promise<Residence> {
    const { home, name, routes = [] } = init
    const lock = await lockHome(home, { answers: async () => await answers(home) })
    const at = controlPath(home)
    releaseAtExit(lock, at.path)
    makeLogFolder(logPaths(home).folder)
    const residence = new Residence(init)
    await new ControlServer({ at, routes: [...residence.#routes(), ...routes] }).start()
    setInterval(() => { residence.#facts.sample() }, SAMPLE_MS).unref()
    if (lock.unclean) residence.emit({ type: 'error', node: name, code: 'ERR_UNCLEAN_STOP', message: `the node that ran in ${home} before did not stop in order; this one goes on from its newest checkpoint` })
    return residence
  }

  /** For the node: what it tells goes on to `init.emit`, and is remembered here. */
  readonly emit = (event: NodeEvent): void => {
    this.#facts.note(event)
    this.#log.write(event)
    this.#emit(event)
  }

  /** Aborts when somebody asks the node to stop. */
  get until (): AbortSignal { return this.#stop.signal }

  watch (node: { readonly view: NodeView }): void { this.#node = node }

  #routes (): Route[] {
    return [
      { method: 'GET', path: '/status', handle: (): StatusAnswer => statusOf(this.#facts.current()) },
      {
        method: 'GET',
        path: '/peers',
        handle: (): PeersAnswer => {
          this.#facts.sample()
          return { peers: this.#facts.peers() }
        }
      },
      {
        method: 'POST',
        path: '/stop',
        handle: (): StopAnswer => {
          setImmediate(() => { this.#stop.abort(new Error('fmtl-node down')) }) // after the answer
          return { pid: process.pid }
        }
      }
    ]
  }
}

/** The process ends by `process.exit` from several places; what it held must not look like an unclean stop. */
function releaseAtExit (lock: Lock, socket: string): void {
  process.once('exit', () => {
    if (process.platform !== 'win32') rmSync(socket, { force: true })
    lock.release()
  })
}

async function answers (home: string): Promise<boolean> {
  try {
    await request(home, 'GET', '/status', undefined, { timeoutMs: ANSWERS_MS })
    return true
  } catch (err) {
    return !(err instanceof NoNodeError)
  }
}
