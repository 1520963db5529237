/** The reasons in a status: what blocks a node now, and what will unless somebody looks. */
import { bare } from '../cli/facts.ts'
import { bytes, duration, list, plural } from '../cli/format.ts'
import type { Answer, PeerFacts, StatusFacts, Wait } from './status.ts'

/** Seconds are the drift of a machine without time service; a minute is a wrong clock, in a log and in an invitation's time, ms. */
const SKEW_MS = 60_000
/** Three checkpoints: two that are kept and the one being written. Below 200 MiB a system does not run well anyway. */
const CHECKPOINTS_KEPT = 3
const LOW_BYTES = 200 * 2 ** 20
/** A clock that goes stands still for less than this between two steps, ms. */
const STANDS_MS = 2_000
/** More names than this say no more. */
const NAMED = 5

/** What keeps this node from contributing, the most fundamental first. */
export function blocked (facts: StatusFacts, { joined, ready, contributing }: { joined: Answer, ready: Answer, contributing: Answer }): Wait[] {
  const waits = [...membershipWait(facts, joined), ...computeWait(facts)]
  if (facts.started === undefined || facts.done) return waits
  if (!ready.yes) waits.push(...peersWait(facts), ...hostWait(facts))
  if (!contributing.yes) waits.push(...quorumWait(facts))
  return waits.length > 0 ? waits : clockWait(facts)
}

/** What does not stop the training now. */
export function warned (facts: StatusFacts): Wait[] {
  return [...tradeWarnings(facts), ...charterWarnings(facts), ...memberWarnings(facts), ...clockWarnings(facts), ...diskWarning(facts)]
}

function membershipWait ({ membership, started }: StatusFacts, joined: Answer): Wait[] {
  if (joined.yes) return []
  const reason = joined.why
  if (membership?.state === 'pending') {
    const { pendingSince } = membership
    return [{
      code: 'ADMISSION_PENDING',
      reason: `${reason}${pendingSince === undefined ? '' : ` (since ${new Date(pendingSince).toISOString()})`}: one of ${plural(membership.members.length, 'member')} has to say yes`,
      next: `ask a member for: fmtl-node admit ${started?.peer ?? ''}`.trimEnd()
    }]
  }
  const next = membership?.state === 'revoked' || membership?.state === 'outside' ? 'ask a member for an invitation, then: fmtl-node join LINK' : undefined
  return [{ code: 'NOT_JOINED', reason, ...next === undefined ? {} : { next } }]
}

function computeWait ({ computeLost }: StatusFacts): Wait[] {
  if (computeLost === undefined) return []
  const { message, next, agoMs } = computeLost
  return [{ code: 'COMPUTE_LOST', reason: `compute worker lost ${duration(agoMs / 1000)} ago and no step since: ${message}`, next: next ?? 'fmtl-node doctor' }]
}

function peersWait ({ peers, bootstrap, waiting, started }: StatusFacts): Wait[] {
  if (peers.some(peer => peer.connected)) return []
  const lost = peers.length === 0 ? '' : `; lost ${named(peers)}`
  const dialled = bootstrap === 0 ? 'no address to dial was given' : `${plural(bootstrap, 'address')} to dial first`
  const refused = waiting === undefined || !waiting.includes('does not answer') ? '' : ` (${bare(waiting)})`
  return [{
    code: 'NO_PEERS',
    reason: `no peer is connected: ${dialled}${refused}${lost}`,
    next: bootstrap === 0 ? `start another member with --bootstrap ${started?.addresses[0] ?? 'ADDRESS'}, or give one here` : 'see that the member runs, and that its port is open: fmtl-node status there'
  }]
}

function hostWait ({ client, hosts, charter, started }: StatusFacts): Wait[] {
  if (client === undefined || client.attached !== undefined || started?.roles.includes('host') === true) return []
  const ours = hosts.filter(host => host.model === charter.model)
  const full = ours.filter(host => host.attached >= host.slots)
  if (ours.length === 0) {
    const others = hosts.length === 0 ? 'no host has announced itself' : `${plural(hosts.length, 'host')} announced, none with the charter ${charter.model.slice(0, 12)}`
    return [{ code: 'NO_HOST', reason: others, next: 'a member has to host: fmtl-node up --role host' }]
  }
  if (full.length < ours.length) return []
  const occupied = full.slice(0, NAMED).map(({ name, host, attached, slots }) => `${name || host} ${attached} of ${slots}`)
  return [{ code: 'NO_SLOT', reason: `${plural(full.length, 'host')} announced, all full: ${occupied.join(', ')}`, next: 'a host has to take more (--slots), or another member has to host' }]
}

function quorumWait (facts: StatusFacts): Wait[] {
  const { charter, hosts, membership, peers } = facts
  const hosting = hostingNow(facts)
  if (hosting === undefined) return []
  const here = hosting.clients.length
  const quorum = quorumNow(hosting, charter)
  if (here < quorum) {
    const clients = membership?.members.filter(({ peer, name }) => peer !== facts.started?.peer && !hosting.clients.includes(name)) ?? []
    const missing = clients.slice(0, NAMED).map(({ peer, name }) => {
      const seen = peers.find(known => known.peer === peer)
      return `${name} (${seen === undefined ? 'never seen' : seen.connected ? 'connected, not attached' : `last seen ${duration(seen.lastSeenMs / 1000)} ago`})`
    })
    return [{
      code: 'NO_QUORUM',
      reason: `${here} of ${quorum} clients attached${here === 0 ? '' : ` (${list(hosting.clients)})`}, missing ${missing.length > 0 ? missing.join(', ') : quorum - here}`,
      next: 'start the missing members: fmtl-node up there'
    }]
  }
  const others = hosts.filter(host => host.model === charter.model).length
  if (hosting.step > 0 || others >= charter.peers) return []
  return [{ code: 'NO_QUORUM', reason: `${others} of ${charter.peers} other hosts announced, missing ${charter.peers - others}`, next: 'start the missing hosts; without them it begins after a minute' }]
}

/** What it hosts, unless its own site trains elsewhere and nobody came: sites gather at one host, and the others stand by. */
export function hostingNow ({ hosting, client, started }: Pick<StatusFacts, 'hosting' | 'client' | 'started'>): StatusFacts['hosting'] {
  const elsewhere = client?.attached !== undefined && client.attached.host !== started?.peer
  return elsewhere && hosting?.clients.length === 0 ? undefined : hosting
}

/** A host that has begun goes on with whoever is there. */
export function quorumNow (hosting: NonNullable<StatusFacts['hosting']>, charter: StatusFacts['charter']): number {
  return hosting.step > 0 ? 1 : charter.quorum
}

/** Where nothing else explains it: what the host's clock, or the host of this client, says it waits for. */
function clockWait ({ hosting, waiting, lastStepMs }: StatusFacts): Wait[] {
  const reason = bare(hosting?.waiting ?? waiting ?? '')
  return reason === '' || (lastStepMs ?? Infinity) < STANDS_MS ? [] : [{ code: 'WAITING', reason }]
}

/** It trains on all the same, alone. */
function tradeWarnings (facts: StatusFacts): Wait[] {
  const { trading, started, peers } = facts
  if (trading === undefined || started === undefined) return []
  const alone = peersWait(facts)
  if (alone.length > 0) return alone
  const { known, failed, pending } = trading.cards
  if (known === 0) return [{ code: 'NO_CARDS', reason: `no peer has offered a model yet, of ${plural(peers.filter(({ connected }) => connected).length, 'peer')} connected; its own serve` }]
  return failed === 0
    ? []
    : [{ code: 'CARDS_FAILED', reason: `${plural(failed, 'model')} of ${known} did not come or ${failed === 1 ? 'was' : 'were'} not what was announced${pending === 0 ? '' : `, ${pending} under way`}`, next: 'fmtl-node logs says why, by model' }]
}

function charterWarnings ({ peers, charter, membership }: StatusFacts): Wait[] {
  return peers.flatMap(({ peer, name, model, charterHash }): Wait[] => {
    const [theirs, ours] = charterHash !== undefined && membership !== undefined && charterHash !== membership.charterHash
      ? [charterHash, membership.charterHash]
      : [model, charter.model]
    return theirs === undefined || theirs === ours
      ? []
      : [{ code: 'CHARTER_MISMATCH', reason: `${name || peer} has the charter ${theirs.slice(0, 12)}, this node ${ours.slice(0, 12)}: neither trains with the other`, next: 'compare the charters; whoever has the older one takes the newer' }]
  })
}

function memberWarnings ({ peers, membership }: StatusFacts): Wait[] {
  if (membership === undefined) return []
  return peers.flatMap(({ peer, name, digest, digestDiffersMs }): Wait[] => digest === undefined || digest === membership.digest
    ? []
    : [{
        code: 'MEMBERS_DIFFER',
        reason: `${name || peer} has another set of members (${digest.slice(0, 12)}, here ${membership.digest.slice(0, 12)}) for ${duration((digestDiffersMs ?? 0) / 1000)}`,
        next: 'seconds are usual after a change; for longer, see that one member reaches both'
      }])
}

function clockWarnings ({ peers }: StatusFacts): Wait[] {
  return peers.flatMap(({ peer, name, clockSkewMs = 0 }): Wait[] => Math.abs(clockSkewMs) <= SKEW_MS
    ? []
    : [{ code: 'CLOCK_SKEW', reason: `the clock of ${name || peer} is ${Math.round(Math.abs(clockSkewMs) / 1000)} s ${clockSkewMs > 0 ? 'ahead of' : 'behind'} ours`, next: 'set both clocks by a time service' }])
}

function diskWarning ({ disk }: StatusFacts): Wait[] {
  if (disk === undefined) return []
  const needed = Math.max(LOW_BYTES, CHECKPOINTS_KEPT * disk.checkpointBytes)
  if (disk.freeBytes >= needed) return []
  return [{ code: 'DISK_LOW', reason: `${bytes(disk.freeBytes)} free on the disk of ${disk.path}, ${bytes(needed)} needed (a checkpoint has ${disk.checkpointBytes === 0 ? 'not been written yet' : bytes(disk.checkpointBytes)})`, next: `df -h ${disk.path}` }]
}

function named (peers: readonly PeerFacts[]): string {
  const some = peers.slice(0, NAMED).map(({ peer, name, lastSeenMs }) => `${name || peer} ${duration(lastSeenMs / 1000)} ago`)
  return peers.length > NAMED ? `${some.join(', ')} and ${peers.length - NAMED} more` : list(some)
}
