/** Whether a site's data can take part under a charter, said before anybody is asked for anything. */
import { DataError } from '../../../src/errors.ts'
import { list, plural } from '../format.ts'
import { openDataset } from '../../../src/data/open.ts'
import { siteData } from '../site.ts'
import type { Config } from '../../config/config.ts'
import type { ConsortiumCharter } from '../../../src/membership/index.ts'

/**
 * @returns one line on what this site brings
 * @throws {DataError} another shape of input, no task in common, too few rows
 */
export async function fitsCharter (config: Config, { training, safeguards, name }: ConsortiumCharter): Promise<string> {
  const data = await siteData(config, training)
  if (data === undefined) throw new DataError('there is no data to check')
  const dataset = await openDataset(data.path, data.options)
  const [want, have] = [training.input, dataset.input]
  if (want.modality !== have.modality || want.shape.join() !== have.shape.join()) {
    throw new DataError(`${data.path} has ${have.modality} of [${have.shape.join(', ')}], ${name} trains on ${want.modality} of [${want.shape.join(', ')}]`, { next: 'prepare the data as the charter says: fmtl-node data check' })
  }
  const common = dataset.tasks.filter(({ id }) => training.tasks.some(task => task.id === id))
  for (const task of common) {
    const other = training.tasks.find(({ id }) => id === task.id)
    if (other?.kind !== task.kind || other.channels !== task.channels) throw new DataError(`task ${task.id} is ${task.kind} with ${task.channels} outputs here and ${other?.kind ?? 'nothing'} with ${other?.channels ?? 0} in the charter`, { next: 'fmtl-node data check shows this site\'s tasks' })
  }
  if (common.length === 0) throw new DataError(`${data.path} has no task of ${name} (${list(training.tasks.map(({ id }) => id))})`, { next: 'name the tasks alike in the data\'s fmtl.yaml' })
  const { train } = await dataset.client(data.client)
  const rows = train.count
  if (rows < safeguards.minRows) throw new DataError(`${data.client} has ${plural(rows, 'training row')}, the charter asks for ${safeguards.minRows}`, { next: 'collect more, or ask the members for an amendment of safeguards.minRows' })
  return `  this site   ${data.client}: ${plural(rows, 'training row')} for ${list(common.map(({ id }) => id))}; it fits`
}
