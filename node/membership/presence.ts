/**
 * A member among members: gossips and syncs the member log, answers newcomers, keeps a connection to every member it can
 * reach, hangs up on whoever is none any more, and notices who sees the consortium differently.
 */
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { leadsTo } from '../../protocols/acquaint.ts'
import { MembershipService } from '../../protocols/membership/index.ts'
import { serveKnocks } from '../../protocols/knock/index.ts'
import { MAX_ADDRESSES, REQUEST_TIMEOUT_MS } from '../../protocols/limits.ts'
import { scopeOf } from '../network/addresses.ts'
import { answerKnock } from './door.ts'
import type { Beat } from '../../protocols/membership/index.ts'
import type { Entry } from '../../src/membership/index.ts'
import type { Membership } from './membership.ts'
import type { Node } from '../libp2p.ts'
import type { NodeEvent } from '../events.ts'
import type { ProtocolComponents } from '../../protocols/components.ts'

export interface PresenceInit {
  readonly name: string
  readonly consortium: string
  readonly membership: Membership
  /** Shortest time between two beats, ms. */
  readonly everyMs: number
  readonly addresses: () => readonly string[]
  readonly round: () => number
  readonly emit: (event: NodeEvent) => void
  readonly now: () => number
}

/** What is known of a member besides what the log says. */
export interface Neighbour {
  readonly peer: string
  readonly connected: boolean
  /** Since its last beat, ms; undefined if none came yet. */
  readonly lastSeenMs?: number
  readonly beat?: Beat
  /** Its clock minus ours, ms, the way of the message included. */
  readonly clockSkewMs?: number
  /** How long its member set or charter has differed from ours, ms. */
  readonly differsForMs?: number
}

interface Seen { beat: Beat, at: number, skewMs: number, differsSince: number | undefined, told: boolean }

/** Two beats may cross a change; what differs longer than this is said. */
const DIFFERS_MS = 10_000
/** A beat reaches everybody, so that all of them cost a node as much as the square of their number: the more members, the rarer. */
const BEAT_PER_MEMBER_MS = 125
/** Twice this and what differs has been said. */
const LONGEST_BEAT_MS = 8_000
const REDIAL_MS = { first: 1_000, longest: 30_000 }

export class Presence {
  readonly #init: PresenceInit
  readonly #node: Node
  readonly #components: ProtocolComponents
  readonly #service: MembershipService
  readonly #seen = new Map<string, Seen>()
  readonly #addresses = new Map<string, readonly string[]>()
  /** Next attempt and the pause after it. */
  readonly #dials = new Map<string, { at: number, pauseMs: number, running: boolean }>()
  readonly #abort = new AbortController()
  #timer: NodeJS.Timeout | undefined
  #stopKnocks: (() => Promise<void>) | undefined
  #saving: Promise<void> = Promise.resolve()

  constructor (node: Node, components: ProtocolComponents, init: PresenceInit) {
    this.#node = node
    this.#components = components
    this.#init = init
    const { membership } = init
    this.#service = new MembershipService(components, {
      consortium: init.consortium,
      log: {
        get id () { return membership.id },
        get heads () { return membership.heads },
        has: hash => membership.has(hash),
        after: heads => membership.after(heads),
        add: async bytes => await membership.add(bytes)
      },
      beat: () => ({ name: init.name, digest: membership.state.digest, charter: membership.state.charterHash, addresses: init.addresses(), round: init.round() }),
      now: init.now,
      everyMs: () => Math.max(init.everyMs, Math.min(BEAT_PER_MEMBER_MS * membership.state.members.size, LONGEST_BEAT_MS)),
      onBeat: (beat, from) => { this.#hear(beat, from) },
      onProblem: line => { init.emit({ type: 'error', node: init.name, code: 'ERR_MEMBER_LOG', message: line }) }
    })
  }

  async start (bootstrap: readonly string[]): Promise<void> {
    const { membership } = this.#init
    for (const [peer, addresses] of Object.entries(await membership.store.peers())) this.#addresses.set(peer, addresses)
    for (const address of bootstrap) {
      const peer = multiaddr(address).getComponents().findLast(({ name }) => name === 'p2p')?.value
      if (peer !== undefined) this.#addresses.set(peer, [...new Set([address, ...this.#addresses.get(peer) ?? []])])
    }
    membership.addEventListener('entries', this.#onEntries)
    this.#node.addEventListener('peer:connect', this.#onConnect)
    this.#stopKnocks = await serveKnocks(this.#components, async (knock, from) => await answerKnock(membership, knock, from, () => [...new Set([...this.#init.addresses(), ...this.knownAddresses])]))
    await this.#service.start()
    this.#redial()
    this.#timer = setInterval(() => { this.#redial() }, 500)
  }

  async stop (): Promise<void> {
    clearInterval(this.#timer)
    this.#abort.abort()
    this.#init.membership.removeEventListener('entries', this.#onEntries)
    this.#node.removeEventListener('peer:connect', this.#onConnect)
    await this.#stopKnocks?.()
    await this.#service.stop()
    await this.#saving
  }

  /** Every other member, connected or not. */
  get neighbours (): Neighbour[] {
    const { membership, now } = this.#init
    const connected = new Set(this.#node.getPeers().map(String))
    return [...membership.state.members.keys()].filter(peer => peer !== membership.signer.peer).map(peer => {
      const seen = this.#seen.get(peer)
      return {
        peer,
        connected: connected.has(peer),
        ...seen === undefined ? {} : { lastSeenMs: now() - seen.at, beat: seen.beat, clockSkewMs: seen.skewMs, ...seen.differsSince === undefined ? {} : { differsForMs: now() - seen.differsSince } }
      }
    })
  }

  /** Other members' addresses, for a link. */
  get known (): ReadonlyMap<string, readonly string[]> { return this.#addresses }

  /** The same, of all of them. */
  get knownAddresses (): string[] { return [...this.#addresses.values()].flat() }

  readonly #onEntries = ({ detail: { entries, own } }: CustomEvent<{ readonly entries: readonly Entry[], readonly own: boolean }>): void => {
    const { membership, name, emit } = this.#init
    const { members, revoked, pending } = membership.state
    if (own) this.#service.beat(entries)
    for (const entry of entries) {
      const act = entry.kind === 'knock' ? pending.get(entry.knock.peer) : undefined
      if (act !== undefined) emit({ type: 'member:waiting', node: name, peer: act.knock.peer, name: act.knock.name, invitedBy: members.get(act.invitation.by)?.name ?? act.invitation.by })
    }
    for (const connection of this.#node.getConnections()) {
      const peer = connection.remotePeer.toString()
      if (membership.allows(peer) || membership.door(peer) !== undefined) continue
      if (revoked.has(peer) || !this.#isNewcomer(peer)) void connection.abort(new Error(membership.whyNot(peer)))
    }
    emit({ type: 'members', node: name, members: members.size, digest: membership.state.digest, changes: entries.map(entry => ({ kind: entry.kind, by: entry.by, at: entry.at })) })
    this.#redial()
  }

  /** A one-time identity whose invitation has just been used up still has to hear that it was. */
  #isNewcomer (peer: string): boolean { return [...this.#init.membership.state.invitations.values()].some(({ key, withdrawn }) => key === peer && !withdrawn) }

  readonly #onConnect = ({ detail }: CustomEvent<{ toString: () => string }>): void => {
    const peer = detail.toString()
    if (!this.#init.membership.allows(peer)) return
    this.#dials.delete(peer)
    this.#service.pull(peer).then(() => { this.#service.beat() }, () => undefined) // its beats will show what is missing
  }

  #hear (beat: Beat, from: string): void {
    const { membership, name, now, emit } = this.#init
    const { digest, members } = membership.state
    const before = this.#seen.get(from)
    const differs = beat.digest !== digest
    const differsSince = differs ? before?.differsSince ?? now() : undefined
    const seen = { beat, at: now(), skewMs: beat.sentAt - now(), differsSince, told: differs && before?.told === true }
    this.#seen.set(from, seen)
    const who = members.get(from)?.name ?? from
    if (differsSince !== undefined && !seen.told && now() - differsSince >= DIFFERS_MS) {
      seen.told = true
      emit({ type: 'waiting', node: name, reason: `${who} sees another member set than this node (${beat.digest.slice(0, 8)}, here ${digest.slice(0, 8)}) since ${Math.round((now() - differsSince) / 1000)} s: syncing` })
    } else if (before?.told === true && !differs) emit({ type: 'waiting', node: name, reason: `${who} and this node see the same member set again (${digest.slice(0, 8)})` })
    this.#learn(from, beat.addresses)
  }

  #learn (peer: string, addresses: readonly string[]): void {
    const usable = addresses.slice(0, MAX_ADDRESSES).filter(address => leadsTo(address, peer))
    if (usable.length === 0 || this.#addresses.get(peer)?.join() === usable.join()) return
    this.#addresses.set(peer, usable)
    const members = Object.fromEntries([...this.#addresses].filter(([known]) => this.#init.membership.allows(known)))
    this.#saving = this.#saving.then(async () => { await this.#init.membership.store.savePeers(members) }).catch(() => undefined) // a convenience: the next beat writes it again
  }

  /**
   * Every member that is not connected is tried again, for ever, each at its own pace; and so is one that is connected through
   * a relay and says that it has an address which anybody can dial.
   */
  #redial (): void {
    const { membership, now } = this.#init
    const connections = this.#node.getConnections()
    const connected = new Set(connections.map(({ remotePeer }) => remotePeer.toString()))
    const direct = new Set(connections.filter(({ direct }) => direct).map(({ remotePeer }) => remotePeer.toString()))
    for (const [peer, all] of this.#addresses) {
      if (peer === membership.signer.peer || direct.has(peer) || !membership.allows(peer)) continue
      const addresses = connected.has(peer) ? all.filter(address => ['public', 'name'].includes(scopeOf(address))) : all
      if (addresses.length === 0) continue
      const dial = this.#dials.get(peer) ?? { at: 0, pauseMs: REDIAL_MS.first, running: false }
      if (dial.running || now() < dial.at) continue
      this.#dials.set(peer, { ...dial, running: true })
      void this.#dial(peer, addresses, connected.has(peer)).catch((err: unknown) => {
        if (!(err instanceof Error)) throw err
        this.#components.logger.forComponent('fmtl:presence')('dial %s: %e', peer, err)
      }).finally(() => {
        this.#dials.set(peer, { at: now() + dial.pauseMs, pauseMs: Math.min(REDIAL_MS.longest, 2 * dial.pauseMs), running: false })
      })
    }
  }

  async #dial (peer: string, addresses: readonly string[], relayed: boolean): Promise<void> {
    const signal = AbortSignal.any([this.#abort.signal, AbortSignal.timeout(2 * REQUEST_TIMEOUT_MS)])
    const id = peerIdFromString(peer)
    if (relayed) {
      await this.#node.dial(addresses.map(address => multiaddr(address.includes('/p2p/') ? address : `${address}/p2p/${peer}`)), { signal, force: true })
      for (const connection of this.#node.getConnections(id)) if (!connection.direct) await connection.close({ signal })
      return
    }
    await this.#node.peerStore.patch(id, { multiaddrs: addresses.map(address => multiaddr(address)) }, { signal })
    await this.#node.dial(id, { signal })
  }
}
