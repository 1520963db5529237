/** Writes down in the home's config.yaml what `up` needs, so that it needs no flags: the name, where the data is, a strategy file, and a foundation model. */
import { existsSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseDocument } from 'yaml'
import { InvalidParametersError } from '../../../src/errors.ts'
import { absolute } from '../../../src/data/open.ts'
import { configTemplate } from '../../config/template.ts'
import { writeDurably } from '../../store/durable.ts'
import type { Config } from '../../config/config.ts'

export interface Settled {
  readonly name: string
  readonly data?: Config['data']
  /** Path of the file that the charter's gradient rule is from. */
  readonly strategy?: string
  /** Path of the foundation model that the charter builds on. */
  readonly foundation?: string | undefined
}

/** What stands in the file already stays, comments too, unless it is one of these. */
export async function settle (home: string, { name, data, strategy, foundation }: Settled): Promise<void> {
  const path = join(home, 'config.yaml')
  // a bare word is a built-in set, unless a folder of that name is here
  const place = data?.path === undefined ? undefined : /[/\\,]/.test(data.path) || existsSync(data.path) ? await absolute(data.path) : data.path
  const node = { name, ...strategy === undefined ? {} : { strategy: resolve(strategy) }, ...foundation === undefined ? {} : { foundation: resolve(foundation) } }
  const wanted = { ...place === undefined ? {} : { data: { path: place, ...data?.client === undefined ? {} : { client: data.client }, ...data?.tasks === undefined ? {} : { tasks: data.tasks } } } }
  if (!existsSync(path)) {
    await writeDurably(path, Buffer.from(configTemplate({ node, ...wanted.data === undefined ? {} : { data: wanted.data } })), 0o600)
    return
  }
  const document = parseDocument(readFileSync(path, 'utf8'))
  if (document.errors.length > 0) throw new InvalidParametersError(`${path}: ${document.errors[0]?.message.split('\n')[0] ?? 'no YAML'}`, { next: 'correct the YAML there' })
  for (const [key, value] of Object.entries(node)) document.setIn(['node', key], value)
  for (const [key, value] of Object.entries(wanted.data ?? {})) document.setIn(['data', key], value)
  await writeDurably(path, Buffer.from(document.toString({ lineWidth: 0 })), 0o600)
}
