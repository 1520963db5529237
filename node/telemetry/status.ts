/**
 * What a node says about itself, as a pure function of facts. That it is let in (joined), that it could train now (ready) and
 * that it does (contributing) are three answers: a process that is alive says nothing about any of them. Every wait has a
 * code, a reason with the numbers and names in it, and what to do where something can be done.
 */
import { blocked, hostingNow, quorumNow, warned } from './waits.ts'
import { duration, list, plural } from '../cli/format.ts'
import type { MembershipFacts } from './membership-facts.ts'
import type { NodeRole } from '../events.ts'

export interface PeerFacts {
  readonly peer: string
  /** Empty where it has not said one. */
  readonly name: string
  readonly connected: boolean
  /** How long ago it was connected or heard of, ms. */
  readonly lastSeenMs: number
  /** How it is connected; where through a relay, the member that relays. */
  readonly via?: 'direct' | 'relay'
  readonly relay?: string
  readonly role?: 'host' | 'client' | 'member'
  /** Of the training charter, as its card has it. */
  readonly model?: string
  /** Of the consortium's charter. */
  readonly charterHash?: string
  /** Hash over its member set, and for how long it has differed from ours. */
  readonly digest?: string
  readonly digestDiffersMs?: number
  /** Its clock less ours. */
  readonly clockSkewMs?: number
  readonly round?: number
}

/** A host that announces itself. */
export interface HostFacts {
  readonly host: string
  readonly name: string
  readonly attached: number
  readonly slots: number
  readonly model: string
}

/** Where models are traded: its own training, and what it made of the others'. */
export interface PeerFigures {
  /** Gradient steps of its own models, and of how many. */
  readonly step: number
  readonly total: number
  readonly done: boolean
  readonly cards: {
    /** Models that others offer, and how many peers do. */
    readonly known: number
    readonly peers: number
    readonly kept: number
    readonly refused: number
    /** Under way, or next. */
    readonly pending: number
    /** Did not come, or were not what was announced. */
    readonly failed: number
  }
  /** Who serves now. */
  readonly members: readonly string[]
}

export interface StatusFacts {
  readonly name: string
  readonly pid: number
  readonly uptimeMs: number
  /** Undefined until the node listens. */
  readonly started?: { readonly peer: string, readonly roles: readonly NodeRole[], readonly addresses: readonly string[], readonly backend: string }
  readonly charter: {
    readonly name: string
    readonly model: string
    readonly stepsPerRound: number
    readonly total: number
    /** Clients and other hosts before a host's first step. */
    readonly quorum: number
    readonly peers: number
    /** Longest time between two steps of a clock that goes, ms. */
    readonly stepMs: number
  }
  /** Where tasks are split: 'merged', or 'group 2 of 3: tasks a, b'. */
  readonly phase?: string
  /** Undefined where no consortium was founded or joined in this home. */
  readonly membership?: MembershipFacts
  /** Addresses that were given to dial first. */
  readonly bootstrap: number
  readonly peers: readonly PeerFacts[]
  /** Other hosts. */
  readonly hosts: readonly HostFacts[]
  /** If it hosts. */
  readonly hosting?: { readonly step: number, readonly slots: number, readonly clients: readonly string[], readonly waiting: string }
  /** If it is a client. */
  readonly client?: { readonly step: number, readonly attached?: { readonly host: string, readonly name: string } }
  /** If it trades models. */
  readonly trading?: PeerFigures
  /** The last step that it took part in, ms ago. */
  readonly lastStepMs?: number
  /** The last reason to wait that an event gave and no later one took back. */
  readonly waiting?: string
  readonly computeLost?: { readonly message: string, readonly next?: string, readonly agoMs: number }
  readonly disk?: { readonly freeBytes: number, readonly checkpointBytes: number, readonly path: string }
  /** The training is complete, in every role. */
  readonly done: boolean
}

export type WaitCode = 'NOT_JOINED' | 'ADMISSION_PENDING' | 'COMPUTE_LOST' | 'NO_PEERS' | 'NO_QUORUM' | 'NO_HOST' | 'NO_SLOT' | 'WAITING' |
  'NO_CARDS' | 'CARDS_FAILED' | 'CHARTER_MISMATCH' | 'MEMBERS_DIFFER' | 'CLOCK_SKEW' | 'DISK_LOW'

export interface Wait {
  readonly code: WaitCode
  readonly reason: string
  readonly next?: string
}

export interface Answer {
  readonly yes: boolean
  readonly why: string
}

export interface NodeStatus {
  readonly name: string
  readonly pid: number
  readonly uptimeSeconds: number
  readonly peer?: string
  readonly roles: readonly string[]
  readonly addresses: readonly string[]
  readonly backend?: string
  readonly charter: { readonly name: string, readonly model: string }
  /** Where tasks are split; rounds and steps are those of this phase. */
  readonly phase?: string
  readonly consortium?: string
  readonly joined: Answer
  readonly ready: Answer
  readonly contributing: Answer
  /** What keeps it from contributing, the most fundamental first, and what will if nothing is done about it. */
  readonly waiting: readonly Wait[]
  /** Present when nothing is left to do; no wait. */
  readonly done?: { readonly code: 'TRAINING_DONE', readonly reason: string }
  readonly round: number
  readonly rounds: number
  readonly step: number
  readonly total: number
  readonly host?: { readonly peer: string, readonly name: string }
  readonly clients?: readonly string[]
  readonly trading?: PeerFigures
  readonly peers: { readonly connected: number, readonly known: number }
  readonly disk?: { readonly freeBytes: number }
}

export function statusOf (facts: StatusFacts): NodeStatus {
  const { name, pid, uptimeMs, started, charter, membership, hosting, client, peers, disk } = facts
  const joined = joinedOf(facts)
  const ready = readyOf(facts, joined)
  const contributing = contributingOf(facts, ready)
  const step = stepOf(facts)
  return {
    name,
    pid,
    uptimeSeconds: Math.round(uptimeMs / 1000),
    ...started === undefined ? {} : { peer: started.peer, backend: started.backend },
    roles: started?.roles ?? [],
    addresses: started?.addresses ?? [],
    charter: { name: charter.name, model: charter.model },
    ...facts.phase === undefined ? {} : { phase: facts.phase },
    ...membership === undefined ? {} : { consortium: membership.consortium },
    joined,
    ready,
    contributing,
    waiting: [...blocked(facts, { joined, ready, contributing }), ...warned(facts)],
    ...facts.done ? { done: { code: 'TRAINING_DONE', reason: `training is complete: ${plural(charter.total, 'step')} in ${plural(charter.total / charter.stepsPerRound, 'round')}` } } : {},
    round: Math.floor(step / charter.stepsPerRound),
    rounds: charter.total / charter.stepsPerRound,
    step,
    total: charter.total,
    ...client?.attached === undefined ? {} : { host: { peer: client.attached.host, name: client.attached.name } },
    ...hosting === undefined ? {} : { clients: hosting.clients },
    ...facts.trading === undefined ? {} : { trading: facts.trading },
    peers: { connected: peers.filter(peer => peer.connected).length, known: peers.length },
    ...disk === undefined ? {} : { disk: { freeBytes: disk.freeBytes } }
  }
}

function stepOf ({ hosting, client, trading }: StatusFacts): number { return Math.max(hosting?.step ?? 0, client?.step ?? 0, trading?.step ?? 0) }

function joinedOf ({ started, membership, charter, uptimeMs }: StatusFacts): Answer {
  if (membership === undefined) {
    return started === undefined
      ? no(`it is starting, for ${duration(uptimeMs / 1000)} so far`)
      : yes(`holds the charter ${charter.name} (${charter.model.slice(0, 12)}); no consortium in this home, so nobody is asked`)
  }
  switch (membership.state) {
    case 'member': return started === undefined
      ? no(`member of ${membership.consortium}, but it is starting, for ${duration(uptimeMs / 1000)} so far`)
      : yes(`member of ${membership.consortium}, one of ${membership.members.length}`)
    case 'pending': return no(`at the door of ${membership.consortium}, not let in yet`)
    case 'revoked': return no(`expelled from ${membership.consortium}${membership.reason === undefined ? '' : `: ${membership.reason}`}`)
    case 'outside': return no(`not a member of ${membership.consortium}`)
  }
}

function readyOf (facts: StatusFacts, joined: Answer): Answer {
  const { client, charter, computeLost, done } = facts
  const hosting = hostingNow(facts)
  if (!joined.yes) return no('not joined')
  if (done) return yes('training is complete; it still answers')
  if (computeLost !== undefined) return no('its compute worker is lost')
  if (facts.trading !== undefined) return yes(`trains ${plural(facts.trading.total, 'step')} by its own clock, whoever is there`)
  if (client !== undefined && client.attached === undefined) return no('no host serves this client')
  if (hosting !== undefined && hosting.clients.length < quorumNow(hosting, charter)) return no(`${hosting.clients.length} of ${quorumNow(hosting, charter)} clients attached`)
  return yes([
    ...client?.attached === undefined ? [] : [`attached to ${client.attached.name || client.attached.host}`],
    ...hosting === undefined ? [] : [`serves ${list(hosting.clients)}`]
  ].join('; '))
}

function contributingOf ({ lastStepMs, charter, done }: StatusFacts, ready: Answer): Answer {
  if (done) return no('training is complete')
  if (!ready.yes) return no(`not ready: ${ready.why}`)
  if (lastStepMs === undefined) return no('has taken part in no step since it started')
  const ago = `took part in a step ${duration(lastStepMs / 1000)} ago`
  return lastStepMs <= Math.max(CONTRIBUTING_MS, 2 * charter.stepMs) ? yes(ago) : no(`last ${ago}`)
}

/** A step of a large model over a slow line takes as long; a charter with longer deadlines is given twice those, ms. */
const CONTRIBUTING_MS = 60_000

function yes (why: string): Answer { return { yes: true, why } }
function no (why: string): Answer { return { yes: false, why } }
