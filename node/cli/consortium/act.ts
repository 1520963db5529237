/** Has the node of a home do something as a member: the running one over its socket, else here, under the home's lock. */
import { DataError } from '../../../src/errors.ts'
import { ACTS, overview } from '../../membership/routes.ts'
import { memberAt } from '../../membership/home.ts'
import { NoNodeError, request } from '../../control/client.ts'
import { lockHome } from '../../store/lock.ts'
import type { ActContext } from '../../membership/routes.ts'

/**
 * @param name - of ACTS
 * @throws {DataError} the home is of no consortium
 */
export async function act<T extends object> (home: string, name: string, body: object = {}): Promise<T> {
  try {
    return await request<T>(home, 'POST', `/${name}`, body)
  } catch (err) {
    if (!(err instanceof NoNodeError)) throw err
  }
  const lock = await lockHome(home)
  try {
    return await ACTS[name]?.(await contextOf(home), body as Readonly<Record<string, unknown>>) as T
  } finally {
    lock.release()
  }
}

/** As `GET /members`. */
export async function members<T extends object> (home: string): Promise<T> {
  try {
    return await request<T>(home, 'GET', '/members')
  } catch (err) {
    if (!(err instanceof NoNodeError)) throw err
  }
  return overview(await contextOf(home)) as T
}

async function contextOf (home: string): Promise<ActContext> {
  const membership = (await memberAt(home))?.membership
  if (membership === undefined) throw new DataError(`${home} belongs to no consortium`, { next: 'fmtl-node found NAME, or fmtl-node join LINK' })
  const known = Object.values(await membership.store.peers()).flat()
  return { membership, addresses: () => known, now: Date.now }
}
