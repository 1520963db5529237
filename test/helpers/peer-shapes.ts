/** What trading models did for the toy's sites, averaged over seeds: what the shapes of FedPAE's results are read from. */
import test from 'ava'
import { KIND, peerCharter, peerSites } from './peer-sites.ts'
import { simulatePeers } from '../../src/federation/peers.ts'
import type { Backend } from '../../src/backend/backend.ts'
import type { ClientReport } from '../../src/training/committee.ts'

export interface PeerShapes {
  /** Accuracy on the test rows, mean over the sites. */
  readonly committee: number
  readonly ownEnsemble: number
  readonly local: number
  readonly wholeBench: number
  /** Of a committee's seats, those of the site's own models. */
  readonly ownShare: number
  /** Of the seats at sites with the usual labels, those of models from sites with others. */
  readonly harmfulSeats: number
}

/** What must hold of sites that are alike, and of some that have little in common, over however many seeds. */
export function expectShapes (alike: PeerShapes, apart: PeerShapes): void {
  test('sites that are alike: a committee is above the site\'s own models together by a point or more, and above its best one', t => {
    t.log(alike)
    t.true(alike.committee >= alike.ownEnsemble + 0.01)
    t.true(alike.committee > alike.local)
  })

  test('sites that have little in common lose no more than a point', t => {
    t.log(apart)
    t.true(apart.committee >= apart.ownEnsemble - 0.01)
  })

  test('with sites that teach what is wrong, a committee is ten points above the whole bench, and takes hardly any of theirs', t => {
    for (const shapes of [alike, apart]) t.true(shapes.committee >= shapes.wholeBench + 0.1)
    t.true(alike.harmfulSeats < 0.05, `${alike.harmfulSeats}`)
  })

  test('the more alike the sites, the fewer of a committee are the site\'s own', t => {
    t.true(alike.ownShare < apart.ownShare)
  })
}

const SITES = 6

export async function peerShapes (backend: Backend, { alpha, permuted, seeds }: { alpha: number, permuted: number, seeds: readonly number[] }): Promise<PeerShapes> {
  const all: PeerShapes[] = []
  for (const seed of seeds) {
    const dataset = peerSites({ seed, alpha, permuted, sites: SITES })
    const { clients, committees } = await simulatePeers({ charter: peerCharter([KIND], seed), dataset, backend, clients: dataset.clientIds })
    const seats = dataset.clientIds.map(id => committees.get(id)?.tasks[0]?.members ?? [])
    const usual = seats.slice(0, SITES - permuted).flat()
    all.push({
      committee: accuracy(clients, 'committee'),
      ownEnsemble: accuracy(clients, 'ownEnsemble'),
      local: accuracy(clients, 'local'),
      wholeBench: accuracy(clients, 'wholeBench'),
      ownShare: mean(seats.map(members => members.filter(({ own }) => own).length / members.length)),
      harmfulSeats: usual.filter(({ peer }) => dataset.clientIds.indexOf(peer) >= SITES - permuted).length / usual.length
    })
  }
  const of = (key: keyof PeerShapes): number => mean(all.map(shapes => shapes[key]))
  return { committee: of('committee'), ownEnsemble: of('ownEnsemble'), local: of('local'), wholeBench: of('wholeBench'), ownShare: of('ownShare'), harmfulSeats: of('harmfulSeats') }
}

function accuracy (clients: readonly ClientReport[], candidate: string): number {
  return mean(clients.map(({ tasks }) => tasks[0]?.scores[candidate]?.value as number))
}

function mean (values: readonly number[]): number { return values.reduce((sum, value) => sum + value, 0) / values.length }
