/** A small member log from fixed keys: a founding, admissions, a revocation by two, what the revoked member had signed meanwhile, a client who leaves. */
import { createHash, createPrivateKey, createPublicKey, sign } from 'node:crypto'
import { base58btc } from 'multiformats/bases/base58'
import { MemberLog, createConsortium, writeEntry, writeKnock } from '../../src/membership/index.ts'
import { createCharter } from '../../src/federation/charter.ts'
import type { Act, InviteLink, Knock, MemberRole, Signer } from '../../src/membership/index.ts'

const FOUNDED = Date.UTC(2026, 0, 1)
const DAY = 86_400_000
/** An Ed25519 seed of 32 bytes follows, PKCS #8. */
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex')

function signer (label: string): Signer {
  const key = createPrivateKey({ key: Buffer.concat([PKCS8, createHash('sha256').update(label).digest()]), format: 'der', type: 'pkcs8' })
  const x = Buffer.from(createPublicKey(key).export({ format: 'jwk' }).x as string, 'base64url')
  return { peer: base58btc.baseEncode(Buffer.concat([Buffer.from('002408011220', 'hex'), x])), sign: async bytes => sign(null, bytes, key) }
}

export async function exampleLog (): Promise<{ log: MemberLog, knock: Knock, link: InviteLink }> {
  const [ann, bea, cyd, dov] = ['ann', 'bea', 'cyd', 'dov'].map(signer) as [Signer, Signer, Signer, Signer]
  const charter = createConsortium({
    name: 'Heart consortium',
    training: createCharter({ name: 'heart', seed: 7, input: { modality: 'table', shape: [13] }, tasks: [{ id: 'disease', kind: 'classes', channels: 2, targets: 1, positions: [1], metric: 'accuracy' }] })
  })
  let at = FOUNDED
  const log = new MemberLog(await writeEntry(ann, { kind: 'found', charter, name: 'Site A', nonce: '07'.repeat(32) }, at, []))
  const act = async (by: Signer, what: Act): Promise<string> => (await log.append(by, what, ++at)).hash
  const enter = async (newcomer: Signer, name: string, role: MemberRole): Promise<{ knock: Knock, invite: string }> => {
    const invite = await act(ann, { kind: 'invite', key: signer(`door of ${name}`).peer, role, from: FOUNDED, until: FOUNDED + DAY, uses: 1 })
    const knock = await writeKnock(newcomer, { net: log.id, charter: log.state.charterHash, invite, name })
    await act(ann, { kind: 'knock', knock })
    await act(ann, { kind: 'admit', peer: newcomer.peer })
    return { knock, invite }
  }
  const { knock, invite } = await enter(bea, 'Klinik Süd', 'member')
  await enter(cyd, 'Site C', 'member')
  await enter(dov, 'Site D', 'client')
  const before = log.entries().filter(({ hash }) => log.heads.includes(hash))
  const behind = await writeEntry(cyd, { kind: 'withdraw', invite }, ++at, before)
  log.add([behind.bytes])
  const seen = await writeEntry(ann, { kind: 'revoke', peer: cyd.peer, reason: 'stolen key' }, ++at, before)
  const second = await writeEntry(bea, { kind: 'revoke', peer: cyd.peer, reason: 'stolen key' }, ++at, [behind, seen])
  log.add([seen.bytes, second.bytes])
  await act(dov, { kind: 'leave' })
  return {
    log,
    knock,
    link: { name: charter.name, net: log.id, charter: log.state.charterHash, invite, by: ann.peer, role: 'member', from: FOUNDED, until: FOUNDED + DAY, addresses: [`/ip4/192.0.2.1/tcp/4001/p2p/${ann.peer}`], networkKey: new Uint8Array(32).fill(7), door: new Uint8Array(32).fill(9) }
  }
}
