/**
 * The one string that travels to a newcomer, `fmtl://<consortium's name>/<base64url>`: where members are, the key of the
 * private network, the one-time identity that the door is open for, and what it needs to check all that it is told.
 *
 * Whoever has the link can knock, so it is as secret as a key until it is used up, and under a charter that wants a member's
 * yes it is not enough. What decides is the `invite` entry in the member log; the link repeats its times only so that a
 * newcomer hears of a mistake before it dials.
 */
import { DecodeError, InvalidParametersError } from '../errors.ts'
import { Fields, decodeCanonical, encodeCanonical, hashBytes } from './encoding.ts'
import { ROLES } from './entry.ts'
import { checkPeer } from './signing.ts'
import type { MemberRole } from './entry.ts'

export interface InviteLink {
  readonly name: string
  /** Consortium id, hex. */
  readonly net: string
  /** Hash of the charter when the link was made, hex. */
  readonly charter: string
  /** Hash of the `invite` entry, hex. */
  readonly invite: string
  /** Who invites, and may be asked whether it is true. */
  readonly by: string
  readonly role: MemberRole
  /** ms. */
  readonly from: number
  readonly until: number
  /** Members' addresses, each with its peer id. */
  readonly addresses: readonly string[]
  /** Key of the private network, 32 bytes. */
  readonly networkKey: Uint8Array
  /** A seed of 32 bytes for the one-time identity, or the peer id that the link was made for. */
  readonly door: Uint8Array | string
}

const SCHEME = 'fmtl://'
/** Three addresses of 120 bytes and 400 of the rest, in base64. */
export const MAX_LINK_CHARS = 2048
export const MAX_LINK_ADDRESSES = 3

export function encodeLink (link: InviteLink): string {
  const { net, charter, invite, addresses, ...rest } = link
  const bytes = encodeCanonical({ ...rest, v: 1, net: hashBytes(net), charter: hashBytes(charter), invite: hashBytes(invite), addresses: addresses.slice(0, MAX_LINK_ADDRESSES) })
  return `${SCHEME}${slug(link.name)}/${Buffer.from(bytes).toString('base64url')}`
}

/** @throws {InvalidParametersError} no link, or one that was cut while it was copied */
export function decodeLink (text: string): InviteLink {
  const trimmed = text.trim()
  const refusal = (why: string, cause?: unknown): InvalidParametersError => new InvalidParametersError(`this is no invitation link: ${why}`, { cause, next: 'copy all of it, from fmtl:// to its last character, and quote it' })
  if (!trimmed.startsWith(SCHEME)) throw refusal(`it does not begin with ${SCHEME}`)
  if (trimmed.length > MAX_LINK_CHARS) throw refusal(`it has ${trimmed.length} characters, at most ${MAX_LINK_CHARS} are read`)
  const [, encoded = ''] = trimmed.slice(SCHEME.length).split('/')
  const bytes = Buffer.from(encoded, 'base64url')
  if (encoded === '' || bytes.toString('base64url') !== encoded) throw refusal('characters are missing or changed')
  try {
    const fields = new Fields(decodeCanonical(bytes, MAX_LINK_CHARS, 'link'), 'link')
    fields.integer('v', 1, 1)
    const door = fields.value('door')
    const link: InviteLink = {
      name: fields.name('name'),
      net: fields.hash('net'),
      charter: fields.hash('charter'),
      invite: fields.hash('invite'),
      by: checkPeer(fields.text('by', 64)),
      role: fields.oneOf('role', ROLES),
      from: fields.integer('from', 0, Number.MAX_SAFE_INTEGER),
      until: fields.integer('until', 0, Number.MAX_SAFE_INTEGER),
      addresses: fields.list('addresses', MAX_LINK_ADDRESSES, address => new Fields({ address }, 'link').text('address')),
      networkKey: fields.bytes('networkKey', 32),
      door: typeof door === 'string' ? checkPeer(door) : fields.bytes('door', 32)
    }
    fields.done()
    return link
  } catch (cause) {
    if (cause instanceof DecodeError) throw refusal(cause.message, cause)
    throw cause
  }
}

/** Lower-case letters, digits and hyphens of a name: for links and folders. */
export function slug (name: string): string {
  return name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-').slice(0, 40).replaceAll(/^-|-$/g, '') || 'consortium'
}
