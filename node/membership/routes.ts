/**
 * What a member can be asked to do, by name: by the control socket of a running node, or in the home of one that does not run.
 * Bodies come from a command of the same version; what is wrong with them is said all the same.
 */
import { InvalidParametersError } from '../../src/errors.ts'
import { ROLES } from '../../src/membership/index.ts'
import { admit, amend, approve, invite, leave, revoke } from './acts.ts'
import { readConsortium } from '../../src/membership/consortium.ts'
import type { MemberRole } from '../../src/membership/index.ts'
import type { Membership } from './membership.ts'
import type { Route } from '../control/server.ts'

export interface ActContext {
  readonly membership: Membership
  /** Where this node, or other members it knows, can be found. */
  readonly addresses: () => readonly string[]
  readonly now: () => number
}

type Body = Readonly<Record<string, unknown>>
type Act = (context: ActContext, body: Body) => Promise<object>

/** Changes; each is `POST /<name>` of a running node. */
export const ACTS: Readonly<Record<string, Act>> = {
  invite: async ({ membership, addresses, now }, body) => await invite(membership, {
    role: role(body.role),
    expiresMs: number(body.expiresMs, 'expiresMs'),
    uses: number(body.uses, 'uses'),
    addresses: [...texts(body.addresses), ...addresses()],
    ...body.for === undefined ? {} : { for: text(body.for, 'for') }
  }, now()),
  admit: async ({ membership }, body) => ({ decided: await admit(membership, body.who === undefined ? undefined : texts(body.who)) }),
  revoke: async ({ membership }, body) => await revoke(membership, text(body.who, 'who'), text(body.reason, 'reason')),
  leave: async ({ membership }) => {
    await leave(membership)
    return {}
  },
  amend: async ({ membership }, body) => await amend(membership, readConsortium(body.charter)),
  approve: async ({ membership }, body) => await approve(membership, body.amendment === undefined ? undefined : text(body.amendment, 'amendment')),
  withdraw: async ({ membership }, body) => {
    const which = text(body.invite, 'invite')
    const found = [...membership.state.invitations.keys()].filter(id => id.startsWith(which))
    const [id] = found
    if (id === undefined || found.length > 1) throw new InvalidParametersError(`${found.length} invitations begin with ${which}`, { next: 'fmtl-node members' })
    await membership.act({ kind: 'withdraw', invite: id })
    return { invite: id }
  }
}

/** Who is in, who waits, what is open and what is proposed. */
export function overview ({ membership }: Pick<ActContext, 'membership'>): object {
  const { id, state, signer } = membership
  return {
    consortium: state.charter.name,
    id,
    charter: state.charter,
    charterHash: state.charterHash,
    digest: state.digest,
    self: signer.peer,
    joined: membership.joined,
    members: [...state.members.values()],
    pending: [...state.pending.values()].map(({ knock: { peer, name }, invitation, at }) => ({ peer, name, role: invitation.role, invitedBy: invitation.by, at })),
    invitations: [...state.invitations.values()],
    revoked: [...state.revoked.values()],
    votes: Object.fromEntries(state.votes),
    proposals: state.proposals
  }
}

export function routesOf (context: ActContext): Route[] {
  return [
    { method: 'GET', path: '/members', handle: () => overview(context) },
    ...Object.entries(ACTS).map(([name, act]): Route => ({ method: 'POST', path: `/${name}`, handle: async body => await act(context, bodyOf(body)) }))
  ]
}

function bodyOf (body: unknown): Body {
  if (body === undefined) return {}
  if (body === null || typeof body !== 'object' || Array.isArray(body)) throw new InvalidParametersError('the request is no object')
  return body as Body
}

function text (value: unknown, what: string): string {
  if (typeof value !== 'string' || value === '' || value.length > 256) throw new InvalidParametersError(`${what} must be a text of 1 to 256 characters`)
  return value
}

function texts (value: unknown): string[] {
  if (value === undefined) return []
  if (!Array.isArray(value) || value.length > 64) throw new InvalidParametersError('a list of at most 64 texts was expected')
  return value.map(entry => text(entry, 'an entry of the list'))
}

function number (value: unknown, what: string): number {
  if (typeof value !== 'number' || !(value > 0) || !Number.isFinite(value)) throw new InvalidParametersError(`${what} must be a number above 0`)
  return value
}

function role (value: unknown): MemberRole {
  if (!ROLES.includes(value as MemberRole)) throw new InvalidParametersError(`a role is one of ${ROLES.join(', ')}`)
  return value as MemberRole
}
