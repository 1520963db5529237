/**
 * An internet on one machine: a bridge, machines on it with public addresses, and NAT routers with sites behind them, each a
 * network namespace. No route leads out of it, so the addresses are nobody's.
 */
import { execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { ChildProcess, SpawnOptions } from 'node:child_process'
import type { ExecutionContext } from 'ava'
import type { NatNodeSpec, NatStatus } from './nat-node.ts'

/** The system's tools: node_modules/.bin has an `nft` of its own. */
const SYSTEM = { env: { ...process.env, PATH: '/usr/sbin:/usr/bin:/sbin:/bin' } }
const run = async (command: string, args: readonly string[]): Promise<unknown> => await promisify(execFile)(command, args, SYSTEM)
const NODE_SCRIPT = fileURLToPath(new URL('./nat-node.ts', import.meta.url))

/** Why namespaces cannot be made here, or undefined. */
export function whyNoNamespaces (): string | undefined {
  if (process.platform !== 'linux') return 'network namespaces need Linux'
  if (process.getuid?.() !== 0) return 'network namespaces need root'
  try {
    execFileSync('ip', ['-V'], { ...SYSTEM, stdio: 'ignore' })
  } catch {
    return 'there is no `ip` command (Debian: apt-get install iproute2)'
  }
  try {
    execFileSync('nft', ['--version'], { ...SYSTEM, stdio: 'ignore' })
  } catch {
    return 'there is no `nft` command (Debian: apt-get install nftables)'
  }
  const probe = `fmtl${process.pid}-probe`
  try {
    execFileSync('ip', ['netns', 'add', probe], { ...SYSTEM, stdio: 'pipe' })
    execFileSync('ip', ['netns', 'exec', probe, 'nft', 'add', 'table', 'ip', 'nat'], { ...SYSTEM, stdio: 'pipe' })
  } catch (err) {
    return `network namespaces with NAT cannot be made here: ${(err as Error).message.trim().split('\n').at(-1)}`
  } finally {
    try {
      execFileSync('ip', ['netns', 'del', probe], { ...SYSTEM, stdio: 'ignore' })
    } catch {} // it was not made
  }
}

let made = 0

export class Internet {
  readonly #name = `fmtl${process.pid}-${made++}`
  readonly #spaces: string[] = []
  readonly #nodes: NatNode[] = []

  static async create (t: ExecutionContext): Promise<Internet> {
    const net = new Internet()
    t.teardown(async () => { await net.#remove() })
    await net.#space('inet')
    await net.#ip('inet', 'link', 'add', 'br0', 'type', 'bridge')
    await net.#ip('inet', 'link', 'set', 'br0', 'up')
    return net
  }

  /** A machine with a public address of its own. */
  async machine (name: string, address: string): Promise<void> {
    await this.#space(name)
    await this.#wire(name, 'eth0', 'inet', name)
    await this.#ip('inet', 'link', 'set', name, 'master', 'br0')
    await this.#ip(name, 'address', 'add', `${address}/24`, 'dev', 'eth0')
  }

  /** A router that lets its site out with its own address and nobody in, and the site. */
  async site (name: string, init: { readonly router: string, readonly address: string, readonly gateway: string }): Promise<void> {
    const router = `${name}-nat`
    await this.machine(router, init.router)
    await this.#space(name)
    await this.#wire(name, 'eth0', router, 'lan')
    await this.#ip(router, 'address', 'add', `${init.gateway}/24`, 'dev', 'lan')
    await this.#ip(name, 'address', 'add', `${init.address}/24`, 'dev', 'eth0')
    await this.#ip(name, 'route', 'add', 'default', 'via', init.gateway)
    await this.#in(router, 'sysctl', '-qw', 'net.ipv4.ip_forward=1')
    await this.#in(router, 'nft', 'add', 'table', 'ip', 'nat')
    await this.#in(router, 'nft', 'add', 'chain', 'ip', 'nat', 'post', '{ type nat hook postrouting priority 100 ; }')
    await this.#in(router, 'nft', 'add', 'rule', 'ip', 'nat', 'post', 'oifname', 'eth0', 'masquerade')
  }

  /** Cuts a machine off without a word to anybody. */
  async unplug (name: string): Promise<void> { await this.#ip('inet', 'link', 'set', name, 'down') }

  /** Node runs a script on that machine. */
  spawn (name: string, args: readonly string[], options: SpawnOptions): ChildProcess {
    return spawn('ip', ['netns', 'exec', this.#full(name), process.execPath, ...args], { ...options, env: { ...SYSTEM.env, ...options.env } })
  }

  async start (name: string, spec: NatNodeSpec): Promise<NatNode> {
    const child = this.spawn(name, [NODE_SCRIPT], { stdio: ['pipe', 'pipe', 'inherit'] })
    const node = new NatNode(child)
    this.#nodes.push(node)
    node.send(spec)
    await node.ready
    return node
  }

  async #remove (): Promise<void> {
    await Promise.all(this.#nodes.map(async node => { await node.kill() }))
    for (const space of this.#spaces.reverse()) await run('ip', ['netns', 'del', this.#full(space)])
  }

  async #space (name: string): Promise<void> {
    await run('ip', ['netns', 'add', this.#full(name)])
    this.#spaces.push(name)
    await this.#ip(name, 'link', 'set', 'lo', 'up')
  }

  /** A cable. */
  async #wire (a: string, aPort: string, b: string, bPort: string): Promise<void> {
    await run('ip', ['link', 'add', aPort, 'netns', this.#full(a), 'type', 'veth', 'peer', 'name', bPort, 'netns', this.#full(b)])
    await this.#ip(a, 'link', 'set', aPort, 'up')
    await this.#ip(b, 'link', 'set', bPort, 'up')
  }

  async #ip (space: string, ...args: string[]): Promise<void> { await run('ip', ['-n', this.#full(space), ...args]) }
  async #in (space: string, ...command: string[]): Promise<void> { await run('ip', ['netns', 'exec', this.#full(space), ...command]) }
  #full (name: string): string { return `${this.#name}-${name}` }
}

export interface Refused { readonly peer: string, readonly address: string, readonly why: string }

/** A running nat-node.ts. */
export class NatNode {
  readonly ready: Promise<void>
  readonly refused: Refused[] = []
  readonly #child: ChildProcess
  readonly #closed: Promise<unknown>
  readonly #answers = new Map<number, { resolve: (value: unknown) => void, reject: (err: Error) => void }>()
  #asked = 0

  constructor (child: ChildProcess) {
    this.#child = child
    this.#closed = once(child, 'close')
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.ready = promise
    createInterface({ input: child.stdout! }).on('line', line => {
      const { event, id, value, error, ...rest } = JSON.parse(line) as { event?: string, id?: number, value?: unknown, error?: string }
      if (event === 'ready') resolve()
      if (event === 'refused') this.refused.push(rest as Refused)
      const answer = id === undefined ? undefined : this.#answers.get(id)
      if (error === undefined) answer?.resolve(value)
      else answer?.reject(new Error(error))
    })
    void this.#closed.then(() => {
      reject(new Error('the node ended'))
      for (const { reject } of this.#answers.values()) reject(new Error('the node ended'))
    })
  }

  send (line: object): void { this.#child.stdin!.write(`${JSON.stringify(line)}\n`) }

  async ask<T> (command: string, rest: object = {}): Promise<T> {
    const id = this.#asked++
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    this.#answers.set(id, { resolve, reject })
    this.send({ id, command, ...rest })
    try {
      return await promise as T
    } finally {
      this.#answers.delete(id)
    }
  }

  async status (): Promise<NatStatus> { return await this.ask<NatStatus>('status') }

  /** The first status that fits, and how long that took. */
  async until (fits: (status: NatStatus) => boolean, what: string, timeoutMs = 15_000): Promise<{ status: NatStatus, ms: number }> {
    const startedAt = performance.now()
    for (;;) {
      const status = await this.status()
      const ms = performance.now() - startedAt
      if (fits(status)) return { status, ms }
      if (ms > timeoutMs) throw new Error(`not within ${timeoutMs} ms: ${what}; ${JSON.stringify(status)}`)
      await new Promise(resolve => setTimeout(resolve, 50))
    }
  }

  /** Tries until it works, as a client does: the first card of a host may name addresses that lead nowhere from here. */
  async eventually<T> (command: string, rest: object, timeoutMs: number): Promise<T> {
    const startedAt = performance.now()
    for (;;) {
      try {
        return await this.ask<T>(command, rest)
      } catch (err) {
        if (performance.now() - startedAt > timeoutMs) throw err
      }
    }
  }

  async kill (): Promise<void> {
    // `ip netns exec` becomes the program, so this is the node itself
    this.#child.kill('SIGKILL')
    await this.#closed
  }
}
