/**
 * Gathers what a status is made of: from the node's events, from what runs now, and from whoever knows more (membership,
 * heartbeats). Keeps what was last seen of peers that are away.
 */
import { statfs } from 'node:fs/promises'
import { localStepsOf, totalSteps } from '../../src/training/spec.ts'
import { charterHash } from '../../src/federation/charter.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { HostCard } from '../../src/backbone/frames.ts'
import type { MembershipFacts } from './membership-facts.ts'
import type { NodeEvent } from '../events.ts'
import type { PeerFacts, PeerFigures, StatusFacts } from './status.ts'

/** What a running node shows of itself; live. */
export interface NodeView {
  readonly connected: readonly string[]
  /** Of those, who is connected through another member only, and which. */
  readonly relayedBy?: ReadonlyMap<string, string>
  /** Where it can be dialled, relays among them. */
  readonly addresses?: readonly string[]
  /** Cards of other hosts that are fresh. */
  readonly hosts: readonly HostCard[]
  readonly host?: { readonly step: number, readonly slots: number, readonly clients: ReadonlyArray<{ readonly peer: string, readonly name: string }>, readonly waiting: string, readonly done: boolean }
  readonly client?: { readonly step: number }
  /** Where models are traded. */
  readonly peer?: { readonly figures: PeerFigures, readonly names: ReadonlyMap<string, string> }
  /** Where tasks are split: the part of the training that runs now, or, once it is over, ran last. Its charter is that of hosts and steps. */
  readonly phase?: { readonly title: string, readonly charter: Charter, readonly over: boolean }
}

/** What a peer says of itself beside a host's card: its heartbeat. */
export type HeardPeer = Pick<PeerFacts, 'peer' | 'charterHash' | 'digest' | 'clockSkewMs' | 'round'> & {
  readonly name?: string
  /** ms ago. */
  readonly heardMs: number
}

export interface FactsInit {
  readonly name: string
  readonly home: string
  readonly charter: Charter
  /** How many addresses were given to dial first. */
  readonly bootstrap: number
  readonly node: () => NodeView | undefined
  readonly membership?: () => MembershipFacts | undefined
  readonly heard?: () => readonly HeardPeer[]
  /** Free bytes on the disk of a folder. */
  readonly free?: (folder: string) => Promise<number>
  /** Monotonic, ms, and the time of day. */
  readonly now?: () => number
  readonly wall?: () => number
}

type Known = { -readonly [key in 'name' | 'role' | 'model' | 'round' | 'clockSkewMs' | 'charterHash' | 'digest' | 'via' | 'relay']?: PeerFacts[key] | undefined } & {
  seenAt: number
  connected: boolean
  /** When the card that was looked at last was sent. */
  sentAt?: number
  differsSince?: number | undefined
}

const DISK_MS = 10_000
/** Peers that are away are remembered up to here; the longest away goes first. */
const MAX_KNOWN = 1_000

export class Facts {
  readonly #init: FactsInit
  readonly #now: () => number
  readonly #wall: () => number
  readonly #startedAt: number
  readonly #known = new Map<string, Known>()
  /** As a client it has what it came for. */
  #reported = false
  #started: StatusFacts['started']
  #attached: { host: string, name: string } | undefined
  #waiting: { reason: string, step: number } | undefined
  #lost: { message: string, next?: string, at: number } | undefined
  #checkpointBytes = 0
  #step = 0
  #stepAt: number | undefined
  #free: number | undefined
  #freeAt = -Infinity

  constructor (init: FactsInit) {
    this.#init = init
    this.#now = init.now ?? (() => performance.now())
    this.#wall = init.wall ?? (() => Date.now())
    this.#startedAt = this.#now()
  }

  note (event: NodeEvent): void {
    switch (event.type) {
      case 'node:started':
        this.#started = { peer: event.peer, roles: event.roles, addresses: event.addresses, backend: event.backend }
        return
      case 'phase':
        this.#step = 0
        this.#waiting = undefined
        return
      case 'client:computing': return this.#computes()
      case 'client:attached':
        this.#attached = { host: event.host, name: event.hostName ?? '' }
        this.#waiting = undefined
        return this.#computes()
      case 'client:detached':
        this.#attached = undefined
        return
      case 'waiting':
        this.#waiting = event.reason === '' ? undefined : { reason: event.reason, step: this.#step }
        return
      case 'step': case 'round': case 'committee': return this.#computes()
      case 'report':
        this.#reported = true
        this.#attached = undefined
        return
      case 'checkpoint':
        this.#checkpointBytes = Math.max(this.#checkpointBytes, event.bytes)
        return
      case 'error':
        if (event.code === 'ERR_COMPUTE_LOST') this.#lost = { message: event.message, ...event.next === undefined ? {} : { next: event.next }, at: this.#now() }
    }
  }

  /** Looks at what runs now. To be called every few seconds, so that what is away later was seen. */
  sample (): void {
    const now = this.#now()
    const view = this.#init.node()
    const step = Math.max(view?.host?.step ?? 0, view?.client?.step ?? 0, view?.peer?.figures.step ?? 0)
    if (step > this.#step) {
      // The first step seen may be the one that a checkpoint ended with.
      if (this.#stepAt !== undefined || this.#step > 0 || step === 1) this.#stepAt = now
      this.#step = step
      if (this.#waiting !== undefined && step > this.#waiting.step) this.#waiting = undefined
    }
    for (const known of this.#known.values()) Object.assign(known, { connected: false, via: undefined, relay: undefined })
    for (const peer of view?.connected ?? []) {
      const relay = view?.relayedBy?.get(peer)
      Object.assign(this.#of(peer), { connected: true, seenAt: now, via: relay === undefined ? 'direct' : 'relay', relay })
    }
    for (const card of view?.hosts ?? []) this.#card(card, now)
    for (const { peer, name } of view?.host?.clients ?? []) Object.assign(this.#of(peer), { role: 'client', name, seenAt: now })
    for (const [peer, name] of view?.peer?.names ?? []) this.#of(peer).name ||= name
    for (const heard of this.#init.heard?.() ?? []) {
      const known = this.#of(heard.peer)
      known.seenAt = Math.max(known.seenAt, now - heard.heardMs)
      for (const key of ['name', 'charterHash', 'digest', 'clockSkewMs', 'round'] as const) if (heard[key] !== undefined) Object.assign(known, { [key]: heard[key] })
    }
    const membership = this.#init.membership?.()
    for (const { peer, name, role } of membership?.members ?? []) {
      const known = this.#known.get(peer)
      if (known === undefined) continue
      known.name ||= name
      known.role ??= role
    }
    for (const known of this.#known.values()) {
      const differs = known.digest !== undefined && membership !== undefined && known.digest !== membership.digest
      known.differsSince = differs ? known.differsSince ?? now : undefined
    }
    this.#forget()
    if (now - this.#freeAt >= DISK_MS) this.#measureDisk(now)
  }

  peers (): PeerFacts[] {
    const now = this.#now()
    return [...this.#known].filter(([peer]) => peer !== this.#started?.peer).map(([peer, { name = '', connected, seenAt, differsSince, sentAt, ...known }]): PeerFacts => ({
      peer,
      name,
      connected,
      lastSeenMs: Math.max(0, now - seenAt),
      ...defined(known),
      ...differsSince === undefined ? {} : { digestDiffersMs: now - differsSince }
    })).sort((a, b) => Number(b.connected) - Number(a.connected) || a.lastSeenMs - b.lastSeenMs || (a.peer < b.peer ? -1 : 1))
  }

  current (): StatusFacts {
    this.sample()
    const now = this.#now()
    const { name, home, bootstrap } = this.#init
    const { host, client, peer: { figures: trading } = {}, hosts = [], addresses, phase } = this.#init.node() ?? {}
    const charter = phase?.charter ?? this.#init.charter
    const { stepDeadlineMs, roundDeadlineMs, quorum, peers } = charter.clock
    const total = trading?.total ?? totalSteps(charter.training)
    const membership = this.#init.membership?.()
    return {
      name,
      pid: process.pid,
      uptimeMs: now - this.#startedAt,
      ...this.#started === undefined ? {} : { started: { ...this.#started, ...addresses === undefined ? {} : { addresses } } },
      charter: { name: charter.name, model: charterHash(charter), stepsPerRound: charter.training.stepsPerRound * (trading === undefined ? 1 : localStepsOf(charter.training)), total, quorum, peers, stepMs: stepDeadlineMs + roundDeadlineMs },
      ...phase === undefined ? {} : { phase: phase.title },
      ...membership === undefined ? {} : { membership },
      bootstrap,
      peers: this.peers(),
      hosts,
      ...host === undefined ? {} : { hosting: { step: host.step, slots: host.slots, clients: host.clients.map(({ peer, name }) => name || peer), waiting: this.#rename(host.waiting) } },
      ...client === undefined ? {} : { client: { step: client.step, ...this.#attached === undefined ? {} : { attached: { ...this.#attached, name: this.#attached.name || this.#known.get(this.#attached.host)?.name || '' } } } },
      ...trading === undefined ? {} : { trading },
      ...this.#stepAt === undefined ? {} : { lastStepMs: now - this.#stepAt },
      ...this.#waiting === undefined ? {} : { waiting: this.#rename(this.#waiting.reason) },
      ...this.#lost === undefined ? {} : { computeLost: { message: this.#lost.message, agoMs: now - this.#lost.at, ...this.#lost.next === undefined ? {} : { next: this.#lost.next } } },
      ...this.#free === undefined ? {} : { disk: { freeBytes: this.#free, checkpointBytes: this.#checkpointBytes, path: home } },
      // a host that stands by for others is done with its own site
      done: this.#isDone((host?.done === true && phase?.over !== false) || (host?.clients.length === 0 && this.#reported && this.#init.membership !== undefined))
    }
  }

  #isDone (hostDone: boolean): boolean {
    const { roles = [] } = this.#started ?? {}
    return roles.length > 0 && roles.every(role => role === 'host' ? hostDone : this.#reported)
  }

  /** Reasons name peers by their id. */
  #rename (text: string): string {
    let line = text
    for (const [peer, { name }] of this.#known) if (name) line = line.replaceAll(peer, name)
    return line
  }

  #computes (): void { this.#lost = undefined }

  #of (peer: string): Known {
    const found = this.#known.get(peer)
    if (found !== undefined) return found
    const known: Known = { seenAt: this.#now(), connected: false }
    this.#known.set(peer, known)
    return known
  }

  /** A card that was looked at before says nothing new about when its host was there, or about its clock. */
  #card (card: HostCard, now: number): void {
    const known = this.#of(card.host)
    Object.assign(known, { role: 'host', name: card.name, model: card.model, round: card.round })
    if (known.sentAt === card.sentAt) return
    known.sentAt = card.sentAt
    known.clockSkewMs = card.sentAt - this.#wall()
    known.seenAt = now
  }

  #forget (): void {
    if (this.#known.size <= MAX_KNOWN) return
    const away = [...this.#known].filter(([, { connected }]) => !connected).sort(([, a], [, b]) => a.seenAt - b.seenAt)
    for (const [peer] of away.slice(0, this.#known.size - MAX_KNOWN)) this.#known.delete(peer)
  }

  /** Not waited for: a disk that does not answer must not keep the status from saying so. */
  #measureDisk (now: number): void {
    this.#freeAt = now
    void (this.#init.free ?? freeBytes)(this.#init.home).then(free => { this.#free = free }, () => { this.#free = undefined })
  }
}

async function freeBytes (folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize
}

function defined<T extends object> (values: T): { [key in keyof T]: NonNullable<T[key]> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as { [key in keyof T]: NonNullable<T[key]> }
}
