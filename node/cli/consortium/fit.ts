/** Whether a site's data can take part under a charter, said before anybody is asked for anything. */
import { DataError } from '../../../src/errors.ts'
import { checkData } from '../../../src/data/check-thread.ts'
import { list, plural } from '../format.ts'
import { siteData } from '../site.ts'
import type { Config } from '../../config/config.ts'
import type { ConsortiumCharter } from '../../../src/membership/index.ts'

/**
 * @returns what this site brings, and what is worth a look, a line each
 * @throws {DataError} what keeps the data from being used, or too few rows
 */
export async function fitsCharter (config: Config, { training, safeguards }: ConsortiumCharter, signal: AbortSignal): Promise<string> {
  const data = await siteData(config, training)
  if (data === undefined) throw new DataError('there is no data to check')
  const { path, client, options } = data
  const { rows, tasks, problems, warnings } = await checkData(path, { ...options, charter: training, only: [client] }, { signal })
  const [problem] = problems
  if (problem !== undefined) throw new DataError(`${problem}${problems.length > 1 ? ` (and ${plural(problems.length - 1, 'more problem')})` : ''}`, { next: `fmtl-node data check ${path}` })
  if (rows.train < safeguards.minRows) throw new DataError(`${client} has ${plural(rows.train, 'training row')}, the charter asks for ${safeguards.minRows}`, { next: 'collect more, or ask the members for an amendment of safeguards.minRows' })
  return [
    `  this site   ${client}: ${plural(rows.train, 'training row')} for ${list(tasks.filter(({ support }) => support > 0).map(({ id }) => id))}; it fits`,
    ...warnings.map(warning => `  look        ${warning}`)
  ].join('\n')
}
