/** Six peers over loopback TCP, of which the last one flips its labels: whose committees its models get into. */
import { CLASSES, KIND, peerCharter, peerSites } from './peer-sites.ts'
import { settled, startTraders } from './trading.ts'
import type { Backend } from '../../src/backend/backend.ts'
import type { Committee } from '../../node/roles/peer-role.ts'
import type { Dataset, Rows } from '../../src/data/dataset.ts'
import type { ExecutionContext } from 'ava'

const SITES = 6

/** Every label of this site is the next one: its models are right where others are wrong, and never where they are right. */
function flipped (dataset: Dataset, liar: string): Dataset {
  const flip = ({ y, ...rows }: Rows): Rows => ({ ...rows, y: { kind: (y.kind as Float32Array).map(label => (label + 1) % CLASSES) } })
  return {
    ...dataset,
    client: async id => {
      const data = await dataset.client(id)
      return id === liar ? { ...data, train: flip(data.train), holdout: flip(data.holdout), test: flip(data.test) } : data
    }
  }
}

/** @returns of every honest peer, by seed, whether a model of the one that flips serves it when all have chosen from all */
export async function flippedCommittees (t: ExecutionContext, backend: Backend, seeds: readonly number[]): Promise<Array<{ readonly seed: number, readonly site: string, readonly flipped: boolean }>> {
  const committees = []
  for (const seed of seeds) {
    const traders = await startTraders(t, { backend, charter: peerCharter([KIND], seed), dataset: flipped(peerSites({ seed, alpha: 100, sites: SITES, rows: [60, 60, 30] }), `site-${SITES}`) })
    await Promise.all(traders.map(async ({ report }) => await report))
    await settled(traders, 2 * (SITES - 1))
    const liar = traders.at(-1)
    for (const { name, role } of traders.slice(0, -1)) {
      const { explanation: { tasks, models } } = role.committee as Committee
      t.is(models, 2 * SITES, 'it chose from all')
      committees.push({ seed, site: name, flipped: tasks.some(({ members }) => members.some(({ peer }) => peer === liar?.id)) })
    }
    await Promise.all(traders.map(async ({ stop }) => { await stop() }))
  }
  return committees
}
