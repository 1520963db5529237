/**
 * One running node: libp2p, the protocols, and the roles that its measurement or its owner chose. The network thread only
 * moves frames; each role computes in a worker of its own.
 */
import { ClientRole } from './roles/client-role.ts'
import { Course } from './groups/course.ts'
import { gateOf } from './membership/gate.ts'
import { Presence } from './membership/presence.ts'
import { Gauges } from './telemetry/gauges.ts'
import { HostRole } from './roles/host-role.ts'
import { PeerRole } from './roles/peer-role.ts'
import { charterHash } from '../src/federation/charter.ts'
import { components } from './components.ts'
import { chooseRoles, peerRoles } from './roles/choose.ts'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { ResourceError } from '../src/errors.ts'
import { addressesToTell, relayOf } from './network/addresses.ts'
import { slug } from '../src/membership/index.ts'
import { version } from './version.ts'
import type { Committee } from './roles/peer-role.ts'
import type { Config } from './config/config.ts'
import type { Charter } from '../src/federation/charter.ts'
import type { ClientReport } from '../src/training/committee.ts'
import type { ClientTrainerInit } from '../src/compute/spawn.ts'
import type { Ed25519PrivateKey } from '@libp2p/interface'
import type { Meeting } from './network/meet.ts'
import type { Membership } from './membership/membership.ts'
import type { NetworkReport } from './network/examine.ts'
import type { Node } from './libp2p.ts'
import type { LedgerAct } from '../src/ledger/index.ts'
import type { NodeLedger } from './ledger.ts'
import type { NodeEvent, NodeRole } from './events.ts'
import type { NodeView } from './telemetry/facts.ts'
import type { NamedTensor } from '../src/tensor/tensor.ts'
import type { Phase, PhaseRoles, PhaseStores } from './groups/phase.ts'
import type { Protocols } from '../protocols/index.ts'
import type { Stage } from './groups/course.ts'
import type { RoleWish, Roles } from './roles/choose.ts'
import type { RungName } from '../src/backend/ladder.ts'
import type { StrategyFile } from '../src/strategies/outside.ts'

export interface FmtlNodeInit {
  readonly name: string
  readonly privateKey: Ed25519PrivateKey
  readonly charter: Charter
  readonly role: RoleWish
  /** Clients served at once, if this node hosts. */
  readonly slots: number
  /** This site's rows, if it takes part as a client. */
  readonly data?: ClientTrainerInit['data']
  /** Train the second local model for the two-locals control. */
  readonly control: boolean
  /** Train a local model to compare with. Default true. */
  readonly baseline?: boolean
  /** Hosts to attach to first, by peer id. */
  readonly prefer: readonly string[]
  readonly backend?: RungName
  /** Memory that each role's trainer may use; default: what the rung has. */
  readonly memoryBytes?: number
  /** What the charter's gradient rule is read from, where it is one from a file. */
  readonly strategyFile?: StrategyFile
  /** Weights of the charter's foundation model, where it builds on one. */
  readonly start?: readonly NamedTensor[]
  readonly listen: readonly string[]
  readonly bootstrap: readonly string[]
  readonly profile: 'testnet' | 'production'
  /** The consortium that this node is a member of. Without one it talks to whoever has the same charter: testnets do. */
  readonly membership?: Membership
  /** How members find and reach each other. Default, and always in a testnet: by the bootstrap addresses and cards alone. */
  readonly network?: Pick<Config['network'], 'announce' | 'relay' | 'mdns' | 'dht'>
  /** Where the training is kept, and each phase of one that splits its tasks, by the phase's charter. Default: in memory. */
  readonly storesOf?: (charter: Charter) => PhaseStores
  /** What this node does is written down there; closed when the node stops. */
  readonly ledger?: NodeLedger
  readonly emit: (event: NodeEvent) => void
}

/** Cards expire after 30 s; three must get lost in a row before a live host is forgotten. */
const ANNOUNCE_MS = { testnet: 1_000, production: 10_000 }
/** Cards of models, for those who come late: in production a newcomer trains for longer than this before it could use them. */
const REPEAT_MS = { testnet: 2_000, production: 15_000 }
/** A choice takes a second at most, and a model that came is of no use before. */
const SELECT_MS = { testnet: 500, production: 5_000 }
const GAUGE_MS = 2_000
/** Two nodes with different member sets must have said so within 20 s. */
const BEAT_MS = { testnet: 1_000, production: 4_000 }
/** A node drains in 5 s: a disk that is full then will not be cleared in time. */
const LAST_ENTRY_MS = 1_000

export class FmtlNode {
  readonly #init: FmtlNodeInit
  readonly #abort = new AbortController()
  readonly #gauges = new Gauges()
  #overBudget: ReadonlyMap<string, number> | undefined
  #node: Node | undefined
  #protocols: Protocols | undefined
  #presence: Presence | undefined
  #meeting: Meeting | undefined
  #taking: Promise<Roles> | undefined
  #host: HostRole | undefined
  #client: ClientRole | undefined
  /** In place of both, where models are traded. */
  #peer: PeerRole | undefined
  /** Where tasks are split. */
  readonly #course: Course | undefined
  #phase: Phase | undefined
  #over = false
  /** Under the charter of the phase of now. */
  #under: Protocols | undefined
  /** Of phases that are over. */
  #bytes = { sent: 0, received: 0 }
  #done: Promise<void> = Promise.resolve()
  #training = false
  #gaugeTimer: NodeJS.Timeout | undefined
  #report: Promise<ClientReport | undefined> = Promise.resolve(undefined)
  #stopping: Promise<void> | undefined

  constructor (init: FmtlNodeInit) {
    this.#init = init
    const { name, privateKey, charter, data, control, baseline = true, storesOf } = init
    if (charter.grouping === undefined) return
    this.#course = new Course({
      node: name,
      peer: peerIdFromPrivateKey(privateKey).toString(),
      charter,
      ...data === undefined ? {} : { trainer: { ...this.#limits, data, control, baseline }, ...data.options.tasks === undefined ? {} : { tasks: data.options.tasks } },
      ...storesOf === undefined ? {} : { storesOf },
      emit: event => { this.#tell(event) }
    })
    this.#phase = this.#course.merged
  }

  /** Resolves with the client's report when its training is complete; at once for a node that only hosts. */
  get report (): Promise<ClientReport | undefined> { return this.#report }

  /** Resolves when a host's last round is closed; at once for a node that only attaches. */
  get finished (): Promise<void> { return this.#course === undefined ? this.#host?.finished ?? Promise.resolve() : this.#done }

  /** For the status: live, and cheap to ask. */
  get view (): NodeView {
    return {
      connected: this.#node?.getPeers().map(String) ?? [],
      relayedBy: this.#relayedBy(),
      addresses: this.addresses,
      hosts: this.#protocols?.announce.hosts ?? [],
      ...this.#phase === undefined ? {} : { phase: { title: this.#phase.title, charter: this.#phase.charter, over: this.#over } },
      ...this.#host === undefined ? {} : { host: this.#host.view },
      ...this.#client === undefined ? {} : { client: this.#client.view },
      ...this.#peer === undefined ? {} : { peer: this.#peer.view }
    }
  }

  /** Peers without a direct connection, and the member that relays. */
  #relayedBy (): ReadonlyMap<string, string> {
    const connections = this.#node?.getConnections().filter(({ status }) => status === 'open') ?? []
    const direct = new Set(connections.filter(connection => connection.direct).map(({ remotePeer }) => remotePeer.toString()))
    return new Map(connections.flatMap(({ remotePeer, remoteAddr }) => {
      const relay = relayOf(remoteAddr.toString())
      return relay === undefined || direct.has(remotePeer.toString()) ? [] : [[remotePeer.toString(), relay]]
    }))
  }

  async start (): Promise<void> {
    const { name, privateKey, charter, bootstrap, profile } = this.#init
    const emit = this.#course?.emit ?? ((event: NodeEvent): void => { this.#tell(event) })
    const startedAt = performance.now()
    this.#gauges.start()
    // The workers load on cores of their own while this thread reads and compiles libp2p, half of its start.
    const taking = this.#taking = this.#takeRoles(emit, this.#phase)
    taking.catch(() => undefined) // awaited below, unless the network fails first
    const [{ createNode, dialBootstrap }, { createProtocols }] = await Promise.all([import('./libp2p.ts'), import('../protocols/index.ts')])
    const { membership, network } = this.#init
    const model = charterHash(charter)
    const consortium = membership === undefined ? `${slug(charter.name)}-${model}` : `${slug(membership.state.charter.name)}-${membership.id.slice(0, 32)}`
    const node = this.#node = await createNode({
      privateKey,
      listen: this.#init.listen,
      profile,
      ...network === undefined ? {} : { announce: network.announce, discovery: { consortium, mdns: network.mdns, dht: network.dht } },
      ...membership === undefined
        ? {}
        : {
            networkKey: membership.networkKey,
            gate: gateOf(membership),
            onRefused: (peer, address, reason) => { emit({ type: 'peer:refused', node: name, peer, address, reason }) }
          }
    })
    const roles = await taking
    const peer = node.peerId.toString()
    const parts = components(node, membership)
    this.#overBudget = parts.overBudget
    const protocols = this.#protocols = createProtocols(parts, { consortium, model })
    await protocols.start()
    if (network !== undefined && profile !== 'testnet') {
      const { meet } = await import('./network/meet.ts')
      this.#meeting = await meet(node, { ...network, listen: this.#init.listen, known: () => [...bootstrap, ...this.#presence?.knownAddresses ?? []] })
    }
    const taken = this.#taken
    await this.#note({ kind: 'start', roles: taken.map(role => role === 'host' ? role : 'client'), software: version }, this.#abort.signal)
    await this.#keepPort(node)
    emit({
      type: 'node:started',
      node: name,
      peer,
      pid: process.pid,
      roles: taken,
      roleReason: roles.reason,
      addresses: this.addresses,
      backend: this.#host?.facts.backend ?? 'none',
      falls: this.#host?.facts.falls ?? [],
      seconds: (performance.now() - startedAt) / 1000
    })
    node.addEventListener('peer:disconnect', ({ detail }) => { this.#host?.lost(detail.toString()) })
    node.addEventListener('peer:identify', () => { this.#host?.greet() })
    // another relay, or a port that others can dial now
    node.addEventListener('self:peer:update', () => { this.#host?.greet() })
    if (this.#course === undefined) await this.#host?.start(protocols, () => addressesToTell(this.addresses))
    this.#gaugeTimer = setInterval(() => { void this.#emitGauges() }, GAUGE_MS)
    if (membership !== undefined) {
      this.#presence = new Presence(node, parts, {
        name,
        consortium,
        membership,
        everyMs: BEAT_MS[profile],
        addresses: () => addressesToTell(this.addresses),
        round: () => this.#host?.host.round ?? 0,
        emit,
        now: Date.now
      })
      await this.#presence.start(bootstrap)
    } else {
      void dialBootstrap(node, bootstrap, {
        signal: this.#abort.signal,
        onRetry: (address, reason, delayMs) => { emit({ type: 'waiting', node: name, reason: `waiting: ${address} does not answer (${reason}), next try in ${delayMs} ms` }) }
      }).catch(() => undefined) // ends by abort only
    }
    this.#report = this.#train(protocols, roles)
    if (this.#course !== undefined) this.#done = this.#report.then(() => { this.#over = true })
    this.#done.catch(() => undefined) // whoever awaits `finished` hears of it
    this.#report.then(async report => {
      this.#gauges.keep()
      await this.#emitGauges()
      if (report !== undefined) emit({ type: 'report', node: name, report })
    }, () => undefined) // whoever awaits `report` hears of it
  }

  get #taken (): NodeRole[] {
    return [...this.#host === undefined ? [] : ['host' as const], ...this.#client === undefined ? [] : ['client' as const], ...this.#peer === undefined ? [] : ['peer' as const]]
  }

  /** A port that the system chose is kept for the next start: members remember it. */
  async #keepPort (node: Node): Promise<void> {
    const port = node.getMultiaddrs().flatMap(address => address.getComponents()).find(({ name }) => name === 'tcp')?.value
    if (port !== undefined) await this.#init.membership?.store.savePort(Number(port))
  }

  async #train (protocols: Protocols, roles: Roles): Promise<ClientReport | undefined> {
    const signal = this.#abort.signal
    if (this.#course !== undefined) return await this.#course.run(protocols, async (phase, roles) => await this.#turn(phase, roles), roles, signal)
    if (this.#peer !== undefined) return await this.#peer.run(protocols, () => addressesToTell(this.addresses), signal)
    return await this.#client?.run(protocols, this.#host, signal)
  }

  /** Ends the roles of the phase before, and starts those of this one. */
  async #turn (phase: Phase, roles: PhaseRoles): Promise<Stage> {
    if (phase.group !== undefined) {
      const { sent, received } = this.bytes
      await this.#endRoles()
      this.#bytes = { sent, received }
      this.#phase = phase
      await this.#takeRoles(this.#course?.emit ?? this.#init.emit, phase, roles)
    }
    const protocols = this.#under = (this.#protocols as Protocols).under(charterHash(phase.charter))
    await protocols.start()
    await this.#host?.start(protocols, () => addressesToTell(this.addresses))
    return { protocols, ...this.#host === undefined ? {} : { host: this.#host }, ...this.#client === undefined ? {} : { client: this.#client } }
  }

  async #endRoles (): Promise<void> {
    await this.#host?.stop()
    await this.#client?.stop()
    await this.#peer?.stop()
    await this.#under?.stop()
    this.#host = this.#client = this.#peer = this.#under = undefined
  }

  get #limits () {
    const { backend, memoryBytes, start } = this.#init
    return { ...backend === undefined ? {} : { backend }, ...memoryBytes === undefined ? {} : { memoryBytes }, ...start === undefined ? {} : { start } }
  }

  /** Decides on the roles, unless they are given, and starts their workers. */
  async #takeRoles (emit: (event: NodeEvent) => void, phase: Phase | undefined, given?: PhaseRoles): Promise<Roles> {
    const { name, privateKey, role, slots, data: rows, prefer, profile, storesOf, strategyFile, membership } = this.#init
    const { charter = this.#init.charter, stores = storesOf?.(charter), from, tasks, observe } = phase ?? {}
    // the report of a training in phases is made at its end, local models for all of it too
    const { control, baseline = true } = phase === undefined ? this.#init : { control: false, baseline: false }
    const data = rows === undefined || tasks === undefined ? rows : { ...rows, options: { ...rows.options, tasks } }
    const ledger = phase?.group === undefined ? this.#init.ledger : undefined
    const node = { node: name, peer: peerIdFromPrivateKey(privateKey).toString(), charter, emit, ...ledger === undefined ? {} : { ledger } }
    const limits = this.#limits
    if (charter.bench !== undefined) {
      const { roles, data: own } = peerRoles(role, data)
      this.#peer = await PeerRole.create({ ...node, trainer: { ...limits, data: own }, repeatMs: REPEAT_MS[profile], selectMs: SELECT_MS[profile], ...stores === undefined ? {} : { store: stores.client } })
      return roles
    }
    const wish = given === undefined ? role : given.host ? (given.client ? 'both' : 'host') : 'client'
    const roles = await chooseRoles(wish, {
      hasData: data !== undefined,
      measure: async () => {
        this.#host = await HostRole.create({ ...node, ...limits, ...strategyFile === undefined ? {} : { strategyFile }, ...membership === undefined ? {} : { minRows: membership.state.charter.safeguards.minRows }, slots, announceMs: ANNOUNCE_MS[profile], ...stores === undefined ? {} : { store: stores.host }, ...from?.host === undefined ? {} : { from: from.host } })
        return { samplesPerSecond: this.#host.samplesPerSecond, backend: this.#host.facts.backend }
      }
    })
    if (!roles.host) {
      await this.#host?.stop()
      this.#host = undefined
    }
    if (roles.client && data !== undefined) {
      this.#client = await ClientRole.create({ ...node, prefer, gathering: membership === undefined ? 'spread' : 'gather', trainer: { ...limits, data, control, baseline }, ...stores === undefined ? {} : { store: stores.client }, ...from?.client === undefined ? {} : { from: from.client }, ...observe === undefined ? {} : { observe } })
    }
    return roles
  }

  /**
   * Where it can be dialled, with its peer id. The library keeps a public address to itself until somebody has dialled it;
   * a founder would then have nothing to write into its first link. So, until a member says otherwise, it is believed.
   */
  get addresses (): readonly string[] {
    const node = this.#node
    if (node === undefined) return []
    const known = node.getMultiaddrs().map(String)
    const believed = this.#meeting?.state.state === 'closed' ? [] : node.services.addresses.listening().map(address => `${address}/p2p/${node.peerId.toString()}`)
    return [...new Set([...known, ...believed])]
  }

  /**
   * Asks whether others can dial this node.
   * @param peers - multiaddrs; default: the members that are known
   * @throws {ResourceError} it does not listen yet
   */
  async examine (peers: readonly string[]): Promise<NetworkReport> {
    const { addressesToAsk, examineRunning } = await import('./network/examine.ts')
    const node = this.#node
    if (node === undefined) throw new ResourceError('this node is starting', { next: 'try again in a moment' })
    const { membership } = this.#init
    const members = [...this.#presence?.known ?? []].filter(([peer]) => peer !== node.peerId.toString() && membership?.allows(peer) === true)
    return await examineRunning(node, { announce: this.#init.network?.announce ?? [], peers: peers.length > 0 ? peers : addressesToAsk(members.map(([, addresses]) => addresses)) })
  }

  /** This node among the members of its consortium, once it has started. */
  get presence (): Presence | undefined { return this.#presence }

  /** Who serves this site now, where models are traded. */
  get committee (): Committee | undefined { return this.#peer?.committee }

  async stop (reason: string): Promise<void> {
    this.#stopping ??= this.#end(reason)
    await this.#stopping
  }

  async #end (reason: string): Promise<void> {
    clearInterval(this.#gaugeTimer)
    this.#abort.abort(new Error(reason))
    await this.#emitGauges()
    await this.#report.catch(() => undefined)
    await this.#taking?.catch(() => undefined) // a start that failed half-way
    await this.#endRoles()
    this.#course?.stop()
    await this.#presence?.stop()
    await this.#note({ kind: 'stop', reason: reason.slice(0, 256) || 'stopped' }, AbortSignal.timeout(LAST_ENTRY_MS))
      .catch((error: Error) => { this.#init.emit({ type: 'error', node: this.#init.name, code: 'ERR_LEDGER', message: `its end is not in the ledger: ${error.message}` }) })
    await this.#init.ledger?.close()
    await this.#meeting?.stop()
    await this.#protocols?.stop()
    await this.#node?.stop()
    this.#gauges.stop()
  }

  async #note (act: LedgerAct, signal: AbortSignal): Promise<void> {
    const { name, ledger, emit } = this.#init
    await ledger?.append(act, { signal, onWaiting: reason => { emit({ type: 'waiting', node: name, reason }) } })
  }

  /** The loop's figures are to be those of the training: modules that load, and the farewell, would hide them. */
  #tell (event: NodeEvent): void {
    if (!this.#training && (event.type === 'step' || event.type === 'client:attached')) {
      this.#training = true
      this.#gauges.reset()
    }
    if (event.type === 'round' && event.report.final && this.#client === undefined) this.#gauges.keep()
    this.#init.emit(event)
  }

  /** Payload bytes of all attachments so far. */
  get bytes (): { readonly sent: number, readonly received: number } {
    const { sent, received } = this.#host?.bytes ?? this.#client?.bytes ?? this.#peer?.bytes ?? { sent: 0, received: 0 }
    return { sent: this.#bytes.sent + sent, received: this.#bytes.received + received }
  }

  async #emitGauges (): Promise<void> {
    const { peakRssBytes, loopLagP99Ms, loopLagMaxMs, loopBusyP99Ms } = this.#gauges.sample()
    const tensors = await Promise.all([this.#host, this.#client, this.#peer].map(async role => await role?.compute.trainer.liveTensors() ?? 0)).catch(() => undefined)
    if (tensors === undefined) return // a worker has ended under way
    const { sent, received } = this.bytes
    this.#init.emit({
      type: 'gauges',
      node: this.#init.name,
      rssBytes: peakRssBytes,
      liveTensors: tensors.reduce((sum, count) => sum + count, 0),
      loopLagP99Ms,
      loopLagMaxMs,
      loopBusyP99Ms,
      bytesSent: sent,
      bytesReceived: received,
      ...this.#overBudget === undefined || this.#overBudget.size === 0 ? {} : { overBudget: Object.fromEntries(this.#overBudget) }
    })
  }
}
