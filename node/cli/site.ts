/** What a site brings to a command: the charter file it was given, and its own rows. */
import { readFile } from 'node:fs/promises'
import { DataError } from '../../src/errors.ts'
import { openDataset } from '../../src/data/open.ts'
import { readCharter } from '../../src/federation/charter.ts'
import { readConsortium } from '../../src/membership/consortium.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { ClientTrainerInit } from '../../src/compute/spawn.ts'
import type { Config } from '../config/config.ts'

/** @throws {DataError | InvalidParametersError} no such file, no JSON, no charter */
export async function readCharterFile (path: string): Promise<Charter> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (cause) {
    throw new DataError(`${path}: the charter cannot be read (${(cause as NodeJS.ErrnoException).code ?? 'unknown reason'})`, { cause, next: 'check the path' })
  }
  try {
    const value = JSON.parse(text) as unknown
    // a consortium's charter has the training's in it
    return value !== null && typeof value === 'object' && Object.hasOwn(value, 'governance') ? readConsortium(value).training : readCharter(value)
  } catch (cause) {
    if (cause instanceof SyntaxError) throw new DataError(`${path}: the charter is no JSON (${cause.message})`, { cause, next: 'fetch it again from the member who wrote it' })
    throw cause
  }
}

/** This site's rows, and only they. @throws {DataError} several clients in the data and none named */
export async function siteData ({ data }: Config, charter: Charter): Promise<ClientTrainerInit['data'] | undefined> {
  if (data.path === undefined) return undefined
  const options = {
    seed: charter.seed,
    tasks: data.tasks ?? charter.tasks.map(task => task.id),
    ...charter.inputs === undefined || data.tasks !== undefined ? {} : { someTasks: true as const },
    ...data.rows === undefined ? {} : { rows: data.rows }
  }
  const { clientIds } = await openDataset(data.path, options)
  const client = data.client ?? (clientIds.length === 1 ? clientIds[0] : undefined)
  if (client === undefined) throw new DataError(`${data.path} holds ${clientIds.length} clients and none was named`, { next: `say which one this site is: --client ${clientIds.join('|')}` })
  return { path: data.path, client, options }
}

/**
 * The charter with this site's codec at the cut, which may differ from site to site.
 * @throws {InvalidParametersError} no such codec
 */
export function withCodec (charter: Charter, codec: string | undefined): Charter {
  return codec === undefined ? charter : readCharter({ ...charter, cutCodec: codec })
}
