/**
 * A newcomer's way in. It connects as the one-time identity of its link (or as itself, where the link is for it alone), reads
 * the charter, hands in its signed knock, and asks until a member has said yes. Nothing is written before that but the
 * knock it goes on with; what it is given is checked against the consortium's id in the link.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { multiaddr } from '@multiformats/multiaddr'
import { DeadlineError, FmtlError, InvalidParametersError, ProtocolError, RefusedError } from '../../src/errors.ts'
import { CLOCK_TOLERANCE_MS, MAX_ENTRY_BYTES, MemberLog, consortiumHash, readConsortium, writeKnock } from '../../src/membership/index.ts'
import { ask } from '../../protocols/knock/index.ts'
import { createNode } from '../libp2p.ts'
import { decodeCanonical } from '../../src/membership/encoding.ts'
import { Membership } from './membership.ts'
import { doorKey } from './acts.ts'
import { signerOf } from '../store/identity.ts'
import type { ConsortiumCharter, InviteLink, Knock } from '../../src/membership/index.ts'
import type { Ed25519PrivateKey } from '@libp2p/interface'
import type { KnockAnswer } from '../../protocols/knock/index.ts'
import type { Node } from '../libp2p.ts'

export interface JoinInit {
  readonly home: string
  /** Who this node will be. */
  readonly privateKey: Ed25519PrivateKey
  readonly link: InviteLink
  /** As members will see it. */
  readonly name: string
  /** Shows the charter and returns when its owner consents; throws when not. */
  readonly consent: (charter: ConsortiumCharter, changed: boolean) => Promise<void>
  /** Longest wait for a member's yes, ms. */
  readonly waitMs: number
  readonly onWaiting: (reason: string) => void
  readonly signal: AbortSignal
  readonly now: () => number
}

export interface Joined { readonly membership: Membership, readonly addresses: readonly string[] }

/** A connection that is let in answers at once; one that is not is closed in milliseconds. */
const DIAL_MS = 10_000
const ASK_MS = 1_000

/**
 * @throws {InvalidParametersError} the link has expired, or is for another peer
 * @throws {RefusedError} no member opens its door, or the knock is turned down
 * @throws {DeadlineError} nobody has said yes yet
 */
export async function join (init: JoinInit): Promise<Joined> {
  const { link, privateKey, home, signal, now } = init
  const signer = signerOf(privateKey)
  checkLink(link, signer.peer, now())
  const node = await createNode({ privateKey: typeof link.door === 'string' ? privateKey : await doorKey(link.door), networkKey: link.networkKey, listen: [] })
  try {
    const member = await reach(node, link, signal)
    const components = { network: node }
    const charter = charterOf(await ask(components, member, undefined, { signal: AbortSignal.any([signal, AbortSignal.timeout(DIAL_MS)]) }))
    const hash = consortiumHash(charter)
    await init.consent(charter, hash !== link.charter)
    const knock = await writeKnock(signer, { net: link.net, charter: hash, invite: link.invite, name: init.name })
    const answer = await untilAdmitted(node, link, member, knock, init)
    const log = MemberLog.read(answer.entries)
    if (log.id !== link.net) throw new ProtocolError(`the member at ${member} answered for consortium ${log.id.slice(0, 12)}, the link is for ${link.net.slice(0, 12)}`)
    return { membership: await Membership.create(home, signer, log, link.networkKey, now), addresses: [...new Set([...link.addresses.filter(address => /\/p2p\/[^/]+$/.test(address)), ...answer.addresses])] }
  } finally {
    await node.stop()
  }
}

function checkLink (link: InviteLink, peer: string, now: number): void {
  const next = `ask ${link.by.slice(-8)} of ${link.name} for a new one: fmtl-node invite`
  if (now > link.until + CLOCK_TOLERANCE_MS) throw new InvalidParametersError(`this invitation expired at ${new Date(link.until).toISOString()}`, { next })
  if (now < link.from - CLOCK_TOLERANCE_MS) throw new InvalidParametersError(`this invitation is not valid before ${new Date(link.from).toISOString()}, and this clock says ${new Date(now).toISOString()}`, { next: 'set the clock' })
  if (typeof link.door === 'string' && link.door !== peer) throw new InvalidParametersError(`this invitation is for ${link.door}, this node is ${peer}`, { next })
}

/** @returns the peer id of a member that let us in */
async function reach (node: Node, link: InviteLink, signal: AbortSignal): Promise<string> {
  const reasons: string[] = []
  for (const address of link.addresses) {
    signal.throwIfAborted()
    try {
      const { remotePeer, status } = await node.dial(multiaddr(address), { signal: AbortSignal.any([signal, AbortSignal.timeout(DIAL_MS)]) })
      // a door that is shut closes the connection right after the handshake
      await pause(SHUT_MS, undefined, { signal })
      if (status === 'open' && node.getConnections(remotePeer).length > 0) return remotePeer.toString()
      reasons.push(`${address}: closed the door`)
    } catch (err) {
      signal.throwIfAborted()
      reasons.push(`${address}: ${why(err)}`)
    }
  }
  const shut = reasons.some(reason => reason.endsWith(CLOSED))
  throw new RefusedError(shut
    ? `the members do not let this invitation in: it was used up, withdrawn or never theirs (${reasons.join('; ')})`
    : `no member of ${link.name} can be reached (${reasons.join('; ')})`, { next: shut ? 'ask for a new one: fmtl-node invite' : 'check that one of them runs (fmtl-node status there) and that a firewall lets this machine out' })
}

const SHUT_MS = 150
const CLOSED = 'closed the door'
/** Too many at the door at once: the next second may be better. */
const BUSY = 'ERR_BUSY'

function why (err: unknown): string {
  const text = err instanceof Error ? `${err.name} ${err.message}` : String(err)
  if (/ECONNREFUSED/.test(text)) return 'nothing listens there'
  if (/EncryptionFailed|UnexpectedEOF|ECONNRESET|ConnectionClosed|StreamReset|MuxerUnavailable|closed|reset/i.test(text)) return CLOSED
  if (/Timeout|Abort/i.test(text)) return 'no answer'
  return text.split('\n')[0] ?? text
}

function charterOf (answer: KnockAnswer): ConsortiumCharter {
  if ('code' in answer) throw new RefusedError(answer.reason)
  if (!('charter' in answer)) throw new ProtocolError('asked for the charter, the member answered something else')
  return readConsortium(decodeCanonical(answer.charter, MAX_ENTRY_BYTES, 'charter'))
}

async function untilAdmitted (node: Node, link: InviteLink, first: string, knock: Knock, { waitMs, onWaiting, signal }: JoinInit): Promise<Extract<KnockAnswer, { status: 'admitted' }>> {
  const endsAt = performance.now() + waitMs
  let member = first
  let told: string | undefined
  for (;;) {
    let answer: KnockAnswer
    try {
      answer = await ask({ network: node }, member, knock, { signal: AbortSignal.any([signal, AbortSignal.timeout(DIAL_MS)]) })
    } catch (err) {
      signal.throwIfAborted()
      if (!(err instanceof FmtlError) && (err as Error).name !== 'TimeoutError') throw err
      member = await reach(node, link, signal) // it went away: another one knows of the knock, too
      continue
    }
    if ('code' in answer && answer.code !== BUSY) throw new RefusedError(answer.reason, { next: 'ask the members: fmtl-node peers there shows who waits' })
    if ('status' in answer && answer.status === 'admitted') return answer
    const waits = 'code' in answer ? answer.reason : `a member's yes for ${knock.name} (${knock.peer.slice(-8)}): they run fmtl-node admit`
    if (waits !== told) onWaiting(`waiting: ${waits}`)
    told = waits
    if (performance.now() + ASK_MS > endsAt) throw new DeadlineError(`no member has said yes in ${Math.round(waitMs / 1000)} s; the knock stays with them`, { next: 'run the same command again later' })
    await pause(ASK_MS, undefined, { signal })
  }
}
