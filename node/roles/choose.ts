/** Which roles a node takes: what its owner wishes, else what a measurement says it can do. */
import { InvalidParametersError } from '../../src/errors.ts'

export type RoleWish = 'auto' | 'host' | 'client' | 'both'

export interface Measurement {
  /** Rows per second through the backbone, forward and backward. */
  readonly samplesPerSecond: number
  readonly backend: string
}

export interface Roles {
  readonly host: boolean
  readonly client: boolean
  readonly reason: string
}

/** Below this a host would slow its clients down more than it helps: four clients of 24 rows want two steps a second. */
export const HOST_SAMPLES_PER_SECOND = 200

/** @throws {InvalidParametersError} nothing to do: no data, and hosting is not wished */
export async function chooseRoles (wish: RoleWish, facts: { hasData: boolean, measure: () => Promise<Measurement> }): Promise<Roles> {
  const { hasData, measure } = facts
  if (!hasData && (wish === 'client' || wish === 'both')) throw new InvalidParametersError(`role ${wish} needs data of this site`, { next: 'give data.path, or take --role host' })
  if (wish === 'client') return { host: false, client: true, reason: 'client, as wished' }
  const { samplesPerSecond, backend } = await measure()
  const speed = `${samplesPerSecond.toFixed(0)} rows/s on ${backend}`
  if (wish !== 'auto') return { host: true, client: wish === 'both', reason: `${wish}, as wished (${speed})` }
  const fast = samplesPerSecond >= HOST_SAMPLES_PER_SECOND
  if (fast) return { host: true, client: hasData, reason: `hosts: ${speed} is at least ${HOST_SAMPLES_PER_SECOND}${hasData ? '; attaches too, it has data' : ''}` }
  if (hasData) return { host: false, client: true, reason: `does not host: ${speed} is under ${HOST_SAMPLES_PER_SECOND}` }
  throw new InvalidParametersError(`this machine is too slow to host (${speed}, ${HOST_SAMPLES_PER_SECOND} needed) and has no data to attach with`, { next: 'give data.path, or --role host to insist' })
}

/**
 * Where models are traded there is nothing to host: whoever has rows is a peer.
 * @throws {InvalidParametersError} no rows here, or hosting is wished for
 */
export function peerRoles<T> (wish: RoleWish, data: T | undefined): { readonly roles: Roles, readonly data: T } {
  if (wish === 'host') throw new InvalidParametersError('this charter has a bench: peers trade their models, and there is nothing to host', { next: 'leave --role out' })
  if (data === undefined) throw new InvalidParametersError('a peer that trades models needs data of this site to train its own', { next: 'give data.path' })
  return { roles: { host: false, client: false, reason: 'trades models with its peers: the charter has a bench' }, data }
}
