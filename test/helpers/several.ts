/** A consortium of pictures here and texts there, in memory. */
import { LEVEL, SIDE, syntheticDataset } from './synthetic.ts'
import { TEXTS, TOPIC, textSite } from './texts.ts'
import { joinDatasets } from '../../src/data/joined.ts'
import type { ClientData, Dataset } from '../../src/data/dataset.ts'

const COUNTS = [24, 8, 12] as const

export function picturesAndTexts (): Dataset {
  const texts = ['tom', 'una'].map(id => textSite(id, COUNTS))
  return joinDatasets('both', [
    syntheticDataset({ clients: [{ id: 'ada', tasks: [SIDE, LEVEL] }, { id: 'ben', tasks: [SIDE] }], rows: COUNTS }),
    {
      name: 'texts',
      input: TEXTS,
      tasks: [TOPIC],
      clientIds: texts.map(({ id }) => id),
      recipe: { model: { sharedEmbedder: true, embedder: { kind: 'tokens' } } },
      client: async id => texts.find(site => site.id === id) as ClientData
    }
  ])
}
