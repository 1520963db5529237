/**
 * A consortium's founding document: what is trained and how, and who decides. Every member signed up to it, by its hash.
 * It is changed by a quorum of signatures (./fold.ts) and has no other owner.
 */
import { DecodeError, InvalidParametersError } from '../errors.ts'
import { Fields, encodeCanonical, hashOf } from './encoding.ts'
import { refuseUnknown } from '../models/spec.ts'
import { readCharter } from '../federation/charter.ts'
import type { Charter } from '../federation/charter.ts'

/**
 * link: who holds a valid link is in; member: any member says yes to the newcomer; second-member: somebody else than the one
 * who invited, as soon as there is somebody else.
 */
export const ADMISSIONS = ['link', 'member', 'second-member'] as const
export type AdmissionPolicy = typeof ADMISSIONS[number]

export interface Governance {
  readonly admission: AdmissionPolicy
  /** Signatures that expel a member or change the charter: more than half of the members who may vote, or this many. */
  readonly quorum: 'majority' | number
  /** Longest life of an invitation, days. */
  readonly invitationDays: number
}

export interface Safeguards {
  /** Training rows that a site must have: the fewer, the more a gradient says about one of them. */
  readonly minRows: number
  /** Rounds whose deltas are kept, so that an aggregate can be recomputed. */
  readonly retainRounds: number
}

export interface ConsortiumCharter {
  readonly name: string
  /** Counts its changes, from 1. */
  readonly version: number
  readonly training: Charter
  readonly governance: Governance
  readonly safeguards: Safeguards
}

const GOVERNANCE: Governance = { admission: 'member', quorum: 'majority', invitationDays: 30 }
/** 8 rows are the smallest batch at which single rows could not be read back from a gradient. */
const SAFEGUARDS: Safeguards = { minRows: 8, retainRounds: 20 }

export interface ConsortiumOptions {
  readonly name: string
  readonly training: Charter
  readonly governance?: Partial<Governance>
  readonly safeguards?: Partial<Safeguards>
}

/** @throws {InvalidParametersError} a setting that is unknown or cannot be */
export function createConsortium ({ name, training, governance, safeguards }: ConsortiumOptions): ConsortiumCharter {
  refuseUnknown('governance', governance ?? {}, Object.keys(GOVERNANCE))
  refuseUnknown('safeguards', safeguards ?? {}, Object.keys(SAFEGUARDS))
  const charter = { name, version: 1, training, governance: { ...GOVERNANCE, ...governance }, safeguards: { ...SAFEGUARDS, ...safeguards } }
  try {
    return readConsortium(charter)
  } catch (cause) {
    if (cause instanceof DecodeError) throw new InvalidParametersError(cause.message, { cause })
    throw cause
  }
}

/** @throws {DecodeError | InvalidParametersError} anything that `createConsortium` would not have made */
export function readConsortium (value: unknown): ConsortiumCharter {
  const fields = new Fields(value, 'charter')
  const governance = new Fields(fields.value('governance'), 'charter.governance')
  const safeguards = new Fields(fields.value('safeguards'), 'charter.safeguards')
  const charter: ConsortiumCharter = {
    name: fields.name('name'),
    version: fields.integer('version', 1, 1_000_000),
    training: readCharter(fields.value('training')),
    governance: {
      admission: governance.oneOf('admission', ADMISSIONS),
      quorum: governance.value('quorum') === 'majority' ? 'majority' : governance.integer('quorum', 1, 256),
      invitationDays: governance.number('invitationDays', 0.001, 3650)
    },
    safeguards: {
      minRows: safeguards.integer('minRows', 1, 1e9),
      retainRounds: safeguards.integer('retainRounds', 0, 1e6)
    }
  }
  for (const part of [fields, governance, safeguards]) part.done()
  return charter
}

const hashes = new WeakMap<ConsortiumCharter, string>()

/** What a joiner consents to, and members cite. */
export function consortiumHash (charter: ConsortiumCharter): string {
  const hash = hashes.get(charter) ?? hashOf(encodeCanonical(charter))
  hashes.set(charter, hash)
  return hash
}
