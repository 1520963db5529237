/** Members to sign with, and logs to put in front of each other. */
import { createHash, createPrivateKey, createPublicKey, sign } from 'node:crypto'
import { base58btc } from 'multiformats/bases/base58'
import { MemberLog, createConsortium, writeEntry, writeKnock } from '../../src/membership/index.ts'
import { createCharter } from '../../src/federation/charter.ts'
import type { Act, Entry, Governance, Signer } from '../../src/membership/index.ts'
import type { Charter } from '../../src/federation/charter.ts'

/** A signer whose key follows from its label. */
export function signer (label: string): Signer {
  const seed = createHash('sha256').update(label).digest()
  const key = createPrivateKey({ key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), seed]), format: 'der', type: 'pkcs8' })
  const x = Buffer.from((createPublicKey(key).export({ format: 'jwk' })).x as string, 'base64url')
  return {
    peer: base58btc.baseEncode(Buffer.concat([Uint8Array.of(0x00, 0x24, 0x08, 0x01, 0x12, 0x20), x])),
    sign: async bytes => sign(null, bytes, key)
  }
}

export const training: Charter = createCharter({
  name: 'heart',
  seed: 7,
  input: { modality: 'table', shape: [13] },
  tasks: [{ id: 'disease', kind: 'classes', channels: 2, targets: 1, positions: [1], metric: 'accuracy' }]
})

export const NOW = Date.UTC(2026, 0, 1)
export const DAY = 86_400_000

export async function found (founder: Signer, governance: Partial<Governance> = {}): Promise<MemberLog> {
  const charter = createConsortium({ name: 'Heart consortium', training, governance })
  return new MemberLog(await writeEntry(founder, { kind: 'found', charter, name: founder.peer.slice(-4), nonce: '00'.repeat(32) }, NOW, []))
}

/** A copy that goes its own way. */
export function copy (log: MemberLog): MemberLog { return MemberLog.read(log.entries().map(({ bytes }) => bytes)) }

/** Both get what the other has. */
export function sync (...logs: readonly MemberLog[]): void {
  const all = logs.flatMap(log => log.entries().map(({ bytes }) => bytes))
  for (const log of logs) log.add(all)
}

export async function act (log: MemberLog, by: Signer, what: Act, at = NOW): Promise<Entry> { return await log.append(by, what, at) }

export async function invite (log: MemberLog, by: Signer, init: { key?: string, uses?: number, role?: 'member' | 'client', from?: number, until?: number } = {}): Promise<string> {
  const { key = signer(`door ${log.size}`).peer, uses = 1, role = 'member', from = NOW, until = NOW + DAY } = init
  return (await act(log, by, { kind: 'invite', key, role, from, until, uses })).hash
}

export async function knock (log: MemberLog, at: Signer, newcomer: Signer, id: string, time = NOW): Promise<Entry> {
  const said = await writeKnock(newcomer, { net: log.id, charter: log.state.charterHash, invite: id, name: `site ${newcomer.peer.slice(-4)}` })
  return await act(log, at, { kind: 'knock', knock: said }, time)
}

/** Invited, knocked and admitted by the same member. */
export async function enter (log: MemberLog, by: Signer, newcomer: Signer, role: 'member' | 'client' = 'member'): Promise<void> {
  await knock(log, by, newcomer, await invite(log, by, { role }))
  if (log.state.pending.has(newcomer.peer)) await act(log, by, { kind: 'admit', peer: newcomer.peer })
}
