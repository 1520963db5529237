/** What a member decides: by command or over the control socket, with the same words for what cannot be. */
import { randomBytes } from 'node:crypto'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { InvalidParametersError } from '../../src/errors.ts'
import { addressesToMeet } from '../network/addresses.ts'
import { MAX_LINK_ADDRESSES, checkPeer, encodeLink, quorumOf } from '../../src/membership/index.ts'
import type { ConsortiumCharter, MemberRole } from '../../src/membership/index.ts'
import type { Ed25519PrivateKey } from '@libp2p/interface'
import type { Membership } from './membership.ts'

export interface InviteInit {
  readonly role: MemberRole
  /** Life of the link, ms. */
  readonly expiresMs: number
  readonly uses: number
  /** The only peer that may use it; default: whoever has the link. */
  readonly for?: string
  /** Where members are, each with its peer id. */
  readonly addresses: readonly string[]
}

export interface Invited { readonly link: string, readonly invite: string, readonly role: MemberRole, readonly until: number, readonly uses: number }
export interface Decided { readonly peer: string, readonly name: string, readonly done: boolean, readonly why: string }

/** The one-time identity of a link. */
export async function doorKey (seed: Uint8Array): Promise<Ed25519PrivateKey> { return await generateKeyPairFromSeed('Ed25519', seed) }

/** @throws {ProtocolError | InvalidParametersError} this node may not invite, or the charter forbids such a link */
export async function invite (membership: Membership, { role, expiresMs, uses, for: only, addresses }: InviteInit, now: number): Promise<Invited> {
  if (addresses.length === 0) throw new InvalidParametersError('a link needs an address at which a newcomer finds a member', { next: 'start this node first: fmtl-node up --detach, or give --address' })
  const { charter, charterHash } = membership.state
  const longest = charter.governance.invitationDays * 86_400_000
  if (expiresMs > longest) throw new InvalidParametersError(`the charter allows invitations of at most ${charter.governance.invitationDays} days`, { next: `--expires ${charter.governance.invitationDays}d` })
  const seed = Uint8Array.from(randomBytes(32))
  const key = only === undefined ? peerIdFromPrivateKey(await doorKey(seed)).toString() : checkPeer(only)
  const until = now + Math.round(expiresMs)
  const { hash } = await membership.act({ kind: 'invite', key, role, from: now, until, uses })
  const link = encodeLink({
    name: charter.name,
    net: membership.id,
    charter: charterHash,
    invite: hash,
    by: membership.signer.peer,
    role,
    from: now,
    until,
    addresses: addressesToMeet(addresses, MAX_LINK_ADDRESSES),
    networkKey: membership.networkKey,
    door: only === undefined ? seed : key
  })
  return { link, invite: hash, role, until, uses }
}

/** @param who - peer id, its beginning or end, or name; undefined: everybody at the door */
export async function admit (membership: Membership, who: readonly string[] | undefined): Promise<Decided[]> {
  const waiting = [...membership.state.pending.values()].map(({ knock: { peer, name } }) => ({ peer, name }))
  const chosen = who === undefined ? waiting : who.map(text => find(text, waiting, 'nobody at the door is called'))
  const decided: Decided[] = []
  for (const { peer, name } of chosen) {
    await membership.act({ kind: 'admit', peer })
    const done = membership.allows(peer)
    decided.push({ peer, name, done, why: done ? 'is a member now' : 'needs another yes' })
  }
  return decided
}

export async function revoke (membership: Membership, who: string, reason: string): Promise<Decided> {
  const { peer, name } = find(who, [...membership.state.members.values()], 'no member is called')
  if (peer === membership.signer.peer) throw new InvalidParametersError('a member does not revoke itself', { next: 'fmtl-node leave' })
  await membership.act({ kind: 'revoke', peer, reason })
  const { revoked, votes, charter, members } = membership.state
  if (revoked.has(peer)) return { peer, name, done: true, why: 'is revoked' }
  const eligible = [...members.values()].filter(member => member.role === 'member' && member.voice === member.peer && member.peer !== peer).length
  return { peer, name, done: false, why: `${votes.get(peer)?.length ?? 0} of ${quorumOf(charter, eligible)} members have said so; it goes when the others do: fmtl-node revoke ${peer}` }
}

export async function leave (membership: Membership): Promise<void> { await membership.act({ kind: 'leave' }) }

/** Proposes a charter, or says yes to one that is proposed. */
export async function amend (membership: Membership, charter: ConsortiumCharter): Promise<{ amendment: string, done: boolean, why: string }> {
  const entry = await membership.act({ kind: 'amend', charter })
  return outcome(membership, entry.hash)
}

export async function approve (membership: Membership, which: string | undefined): Promise<{ amendment: string, done: boolean, why: string }> {
  const { proposals } = membership.state
  const found = which === undefined ? proposals : proposals.filter(({ amendment }) => amendment.startsWith(which))
  const [proposal] = found
  if (proposal === undefined || found.length > 1) throw new InvalidParametersError(found.length === 0 ? 'no such amendment is proposed' : `${found.length} amendments are proposed`, { next: found.length === 0 ? 'fmtl-node members' : `name one: ${found.map(({ amendment }) => amendment.slice(0, 8)).join(', ')}` })
  await membership.act({ kind: 'approve', amendment: proposal.amendment })
  return outcome(membership, proposal.amendment)
}

function outcome ({ state: { proposals, charter } }: Membership, amendment: string): { amendment: string, done: boolean, why: string } {
  const open = proposals.find(proposal => proposal.amendment === amendment)
  return open === undefined
    ? { amendment, done: true, why: `the charter is at version ${charter.version} now; members take it up when they start anew` }
    : { amendment, done: false, why: `${open.approvals.length} of ${open.needed} members have signed it: fmtl-node amend --approve ${amendment.slice(0, 8)}` }
}

function find<T extends { readonly peer: string, readonly name: string }> (text: string, among: readonly T[], none: string): T {
  const found = among.filter(({ peer, name }) => name === text || peer === text || (text.length >= 6 && (peer.startsWith(text) || peer.endsWith(text))))
  const [one] = found
  if (one === undefined || found.length > 1) {
    throw new InvalidParametersError(found.length === 0 ? `${none} ${text}` : `${found.length} are called ${text}`, { next: among.length === 0 ? 'fmtl-node peers' : `one of: ${among.map(({ peer, name }) => `${name} (${peer.slice(-8)})`).join(', ')}` })
  }
  return one
}
