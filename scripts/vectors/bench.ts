/** Cards of models on offer: one with everything, one with as little as may be, and one that just fits. */
import { encodeBenchCard } from '../../protocols/bench/index.ts'
import type { BenchCard } from '../../protocols/bench/index.ts'
import type { WireVector } from './members-wire.ts'

const PEER = '12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo'

const full: BenchCard = {
  card: {
    peer: PEER,
    modelId: 'model-1',
    version: 3,
    arch: 'a1'.repeat(8),
    parameters: 2048,
    bytes: 8192,
    sha256: 'b2'.repeat(32),
    tasks: [{ id: 'digit', classes: 10, space: 'c3'.repeat(8) }, { id: 'parity', classes: 2, space: 'd4'.repeat(8) }],
    valAccuracy: 0.875
  },
  name: 'north',
  charter: 'e5'.repeat(8),
  addresses: ['/ip4/192.0.2.7/tcp/4001', `/dns4/north.example/tcp/4001/p2p/${PEER}`]
}

export function benchCards (): WireVector[] {
  const { valAccuracy, ...card } = full.card
  const offers: Record<string, BenchCard> = {
    card: full,
    'card-least': { ...full, card: { ...card, version: 1, tasks: card.tasks.slice(0, 1) }, name: '', addresses: [] },
    'card-eight-tasks': { ...full, card: { ...full.card, tasks: Array.from({ length: 8 }, (_, i) => ({ id: `a-task-with-a-long-name-${i}`, classes: 100, space: `${i}f`.repeat(8) })) } }
  }
  return Object.entries(offers).map(([name, value]) => ({ name, bytes: encodeBenchCard(value), says: { message: 'BenchCard', value } }))
}
