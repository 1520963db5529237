/**
 * One node as a process of its own, for networks made of namespaces: reads its specification from the first line of standard
 * input and commands from the others, answers each with a line. Everything that it does goes over the product's protocols.
 */
import { createInterface } from 'node:readline'
import { components } from '../../node/components.ts'
import { createNode, dialBootstrap } from '../../node/libp2p.ts'
import { addressesToTell } from '../../node/network/addresses.ts'
import { examineNetwork } from '../../node/network/examine.ts'
import { whyNotDialled } from '../../node/network/bootstrap.ts'
import { Reachability } from '../../node/network/reach.ts'
import { seededIdentity } from '../../node/store/identity.ts'
import { createProtocols } from '../../protocols/index.ts'
import { measureLink } from '../../protocols/link.ts'
import { multiaddr } from '@multiformats/multiaddr'
import type { Node } from '../../node/libp2p.ts'
import type { Protocols } from '../../protocols/index.ts'

export interface NatNodeSpec {
  readonly name: string
  readonly label: string
  /** Hex. */
  readonly networkKey: string
  readonly members: readonly string[]
  readonly listen: readonly string[]
  readonly bootstrap: readonly string[]
  /** Announces itself as backbone host. */
  readonly host: boolean
}

export interface NatStatus {
  readonly told: readonly string[]
  readonly reach: string
  readonly volunteers: boolean
  readonly relays: readonly string[]
  readonly hosts: readonly string[]
  readonly connections: ReadonlyArray<{ readonly peer: string, readonly address: string, readonly direct: boolean, readonly limited: boolean }>
}

export const SEED = 1
const MODEL = 'ab'.repeat(32)
const CARD_MS = 1_000

class NatNode {
  readonly #spec: NatNodeSpec
  readonly #node: Node
  readonly #protocols: Protocols
  readonly #reach: Reachability

  constructor (spec: NatNodeSpec, node: Node) {
    this.#spec = spec
    this.#node = node
    this.#protocols = createProtocols(components(node), { consortium: 'nat', model: MODEL })
    this.#reach = new Reachability(node, { relay: 'auto', listen: spec.listen, announce: [], known: () => spec.bootstrap, onChange: () => { this.#announce() } })
  }

  async start (): Promise<void> {
    await this.#protocols.start()
    await this.#reach.start()
    if (this.#spec.host) {
      await this.#protocols.serve({
        admit: async request => ({ session: `s-${request.name}-${performance.now()}`, step: 0, version: 0, credits: 2, maxBatch: 32 }),
        onChannel: (_session, channel) => {
          void (async () => {
            for await (const frame of channel.frames) if (frame.kind === 'forward') await channel.send({ kind: 'features', step: frame.step, tensors: frame.tensors })
          })().catch(() => undefined) // the client went away
        }
      })
      setInterval(() => { this.#announce() }, CARD_MS)
      this.#node.addEventListener('self:peer:update', () => { this.#announce() })
    }
    void dialBootstrap(this.#node, this.#spec.bootstrap)
  }

  status (): NatStatus {
    const { relays } = this.#node.services
    return {
      told: addressesToTell(this.#node.getMultiaddrs()),
      reach: this.#reach.state.state,
      volunteers: relays.volunteers,
      relays: relays.relays,
      hosts: this.#protocols.announce.hosts.map(({ host }) => host),
      connections: this.#node.getConnections().map(({ remotePeer, remoteAddr, direct, limits }) => ({ peer: remotePeer.toString(), address: remoteAddr.toString(), direct, limited: limits !== undefined }))
    }
  }

  /** Attaches to a host and takes `steps` round trips of `bytes` each way. */
  async train ({ host, steps, bytes }: { host: string, steps: number, bytes: number }): Promise<{ ms: number }> {
    const { name } = this.#spec
    const signal = AbortSignal.timeout(20_000)
    const admission = await this.#protocols.attach(host, { client: this.#node.peerId.toString(), name, model: MODEL, tasks: ['t'], cut: [bytes / 4], samples: 1, batch: 1 }, { signal: AbortSignal.timeout(5_000) })
    const channel = await this.#protocols.openChannel(host, admission, { signal, codec: 'f32' })
    const frames = channel.frames[Symbol.asyncIterator]()
    const tensors = [{ name: 'activations', tensor: { shape: [1, bytes / 4], data: new Float32Array(bytes / 4).fill(1) } }]
    const startedAt = performance.now()
    for (let step = 0; step < steps; step++) {
      await channel.send({ kind: 'forward', step, tensors }, { signal })
      const { value } = await frames.next()
      if (value?.kind !== 'features' || value.step !== step || value.tensors[0]?.tensor.data.length !== bytes / 4) throw new Error(`step ${step}: ${JSON.stringify(value?.kind)}`)
    }
    const ms = performance.now() - startedAt
    await channel.close()
    return { ms }
  }

  async dial ({ address }: { address: string }): Promise<string> {
    const startedAt = performance.now()
    const answer = await this.#node.dial(multiaddr(address)).then(() => 'ok', whyNotDialled)
    return `${answer} (${Math.round(performance.now() - startedAt)} ms)`
  }

  async link ({ peer }: { peer: string }): Promise<unknown> { return await measureLink(components(this.#node), peer) }

  async doctor ({ peer }: { peer: string }): Promise<unknown> {
    return await examineNetwork({
      listen: this.#spec.listen.map(address => address.replace(/\/tcp\/\d+$/, '/tcp/0')),
      announce: [],
      peers: [peer],
      membership: { privateKey: await seededIdentity(SEED, `${this.#spec.label}-doctor`), networkKey: Buffer.from(this.#spec.networkKey, 'hex') }
    })
  }

  #announce (): void {
    if (!this.#spec.host) return
    this.#protocols.announce.publish({
      host: this.#node.peerId.toString(), name: this.#spec.name, backend: 'cpu', samplesPerSecond: 1, memoryBytes: 1, attached: 0, slots: 4, model: MODEL, round: 0, step: 0, addresses: this.status().told, sentAt: Date.now()
    }).catch(() => undefined) // nobody listens yet
  }
}

if (process.argv[1] === import.meta.filename) {
  const tell = (line: unknown): void => { process.stdout.write(`${JSON.stringify(line)}\n`) }
  let node: NatNode | undefined
  for await (const line of createInterface({ input: process.stdin })) {
    if (node === undefined) {
      const spec = JSON.parse(line) as NatNodeSpec
      const members = new Set(spec.members)
      const made = await createNode({
        privateKey: await seededIdentity(SEED, spec.label),
        listen: spec.listen,
        networkKey: Buffer.from(spec.networkKey, 'hex'),
        gate: { allows: peer => members.has(peer), whyNot: () => 'it is no member' },
        onRefused: (peer, address, why) => { tell({ event: 'refused', peer, address, why }) }
      })
      node = new NatNode(spec, made)
      await node.start()
      tell({ event: 'ready' })
      continue
    }
    const { id, command, ...rest } = JSON.parse(line) as { id: number, command: 'status' | 'train' | 'dial' | 'link' | 'doctor' }
    const run = node[command].bind(node) as (init: object) => unknown
    void Promise.resolve().then(async () => await run(rest)).then(value => { tell({ id, value }) }, err => { tell({ id, error: (err as Error).message }) })
  }
  process.exit(0)
}
