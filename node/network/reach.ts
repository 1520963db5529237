/**
 * Whether others can dial this node, as members say who tried, and what follows from it: a node that can be dialled tells
 * the address and volunteers as relay, one that cannot looks for relays. Nobody outside the consortium is asked.
 */
import { multiaddr } from '@multiformats/multiaddr'
import { RefusedError } from '../../src/errors.ts'
import { REACH_PROTOCOL, askReach, serveReach } from '../../protocols/reach/index.ts'
import { MAX_ADDRESSES } from '../../protocols/limits.ts'
import { components } from '../components.ts'
import { hostOf, portOf, scopeOf } from './addresses.ts'
import type { Connection, IdentifyResult } from '@libp2p/interface'
import type { Node } from '../libp2p.ts'
import type { Reach } from '../../protocols/reach/index.ts'

export type RelayWish = 'auto' | 'yes' | 'no'

export interface ReachInit {
  /** Whether this node relays for others: auto does when others can dial it. */
  readonly relay: RelayWish
  readonly listen: readonly string[]
  readonly announce: readonly string[]
  /** Addresses of members, for a node that looks for relays. */
  readonly known: () => readonly string[]
  /** Hears when what is known has changed. */
  readonly onChange?: (state: ReachState) => void
}

export interface ReachState {
  /** open: whoever was asked could dial this node. closed: somebody could not. */
  readonly state: 'unknown' | 'open' | 'closed'
  /** At which others have met this node. */
  readonly addresses: readonly string[]
}

/** Who is asked again after this: lines and routers change, but not by the minute. */
const ASK_AGAIN_MS = 10 * 60_000
/** After no answer: that peer may still be starting. */
const RETRY_MS = 5_000
/** Members whose word decides; more would only say the same. */
const MAX_ASKED = 8

interface Asked { readonly at: number, readonly reach: Reach | undefined }

export class Reachability {
  readonly #node: Node
  readonly #init: ReachInit
  readonly #asked = new Map<string, Asked>()
  readonly #asking = new Set<string>()
  #confirmed = new Set<string>()
  #state: ReachState = { state: 'unknown', addresses: [] }
  #timer: NodeJS.Timeout | undefined
  #unserve: (() => Promise<void>) | undefined
  #stopped = false

  constructor (node: Node, init: ReachInit) {
    this.#node = node
    this.#init = init
  }

  get state (): ReachState { return this.#state }

  async start (): Promise<void> {
    const { relay, listen, announce } = this.#init
    this.#unserve = await serveReach(components(this.#node))
    // the owner says so, and need not be asked back
    const given = listen.filter(address => scopeOf(address) === 'public' && portOf(address) !== 0)
    this.#confirm(given)
    if (relay === 'yes' || (relay === 'auto' && (given.length > 0 || announce.length > 0))) await this.#node.services.relays.volunteer()
    this.#node.addEventListener('peer:identify', this.#onIdentify)
    this.#timer = setInterval(() => { this.#askAll() }, RETRY_MS)
    this.#timer.unref()
    this.#askAll()
  }

  async stop (): Promise<void> {
    this.#stopped = true
    clearInterval(this.#timer)
    this.#node.removeEventListener('peer:identify', this.#onIdentify)
    await this.#unserve?.()
  }

  readonly #onIdentify = ({ detail: { connection, protocols } }: CustomEvent<IdentifyResult>): void => {
    if (protocols.includes(REACH_PROTOCOL)) this.#ask(connection)
  }

  #askAll (): void { for (const connection of this.#node.getConnections()) this.#ask(connection) }

  #ask ({ remotePeer, direct }: Connection): void {
    const peer = remotePeer.toString()
    const last = this.#asked.get(peer)
    const ports = this.#ports()
    if (!direct || ports.length === 0 || this.#asking.has(peer)) return
    if (last !== undefined && Date.now() - last.at < (last.reach === undefined ? RETRY_MS : ASK_AGAIN_MS)) return
    if (last?.reach === undefined && this.#answers().length >= MAX_ASKED) return
    this.#asking.add(peer)
    askReach(components(this.#node), peer, ports).then(async reach => {
      this.#asked.set(peer, { at: Date.now(), reach })
      await this.#judge()
    }, err => {
      // a refusal is no verdict; whether the next try is one, time will tell
      this.#asked.set(peer, { at: Date.now(), reach: last?.reach })
      if (!(err instanceof RefusedError)) this.#node.logger.forComponent('fmtl:reach')('%s: %e', peer, err)
    }).catch(err => { this.#node.logger.forComponent('fmtl:reach').error('%e', err) }).finally(() => { this.#asking.delete(peer) })
  }

  #answers (): Reach[] { return [...this.#asked.values()].flatMap(({ reach }) => reach ?? []) }

  async #judge (): Promise<void> {
    if (this.#stopped) return
    const answers = this.#answers()
    const addresses = [...new Set(answers.flatMap(({ host, ports }) => ports.map(port => `${host}/tcp/${port}`)))].filter(address => scopeOf(address) !== 'loopback')
    const state = answers.every(({ ports }) => ports.length > 0) ? 'open' as const : 'closed' as const
    this.#confirm(addresses)
    const { relays } = this.#node.services
    // one that somebody reaches, relays for those who do; one that somebody cannot reach, needs a relay itself
    if (this.#init.relay === 'auto' && addresses.length > 0) await relays.volunteer()
    if (state === 'closed') await relays.seek(this.#init.known)
    if (state === 'open' && addresses.some(address => scopeOf(address) === 'public')) await this.#node.services.dht?.setMode('server')
    const before = this.#state
    this.#state = { state, addresses }
    if (before.state !== state || before.addresses.join() !== addresses.join()) this.#init.onChange?.(this.#state)
  }

  /** Those addresses are told to others, and no longer those which were confirmed before and are not among them. */
  #confirm (addresses: readonly string[]): void {
    const { addresses: manager } = this.#node.services
    const now = new Set(addresses)
    for (const address of now) if (!this.#confirmed.has(address)) manager.confirmObservedAddr(multiaddr(address), { type: 'observed' })
    for (const address of this.#confirmed) if (!now.has(address) && !this.#init.listen.includes(address)) manager.removeObservedAddr(multiaddr(address))
    this.#confirmed = new Set([...now, ...this.#init.listen.filter(address => this.#confirmed.has(address))])
  }

  /** At which others may try: where this node listens beyond loopback, and what its owner announces. */
  #ports (): number[] {
    const listening = [...this.#init.announce, ...this.#node.services.addresses.listening()]
    const ports = listening.filter(address => hostOf(address) === undefined || scopeOf(address) !== 'loopback').flatMap(address => portOf(address) ?? [])
    return [...new Set(ports)].filter(port => port > 0).slice(0, MAX_ADDRESSES)
  }
}
