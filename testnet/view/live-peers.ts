/** The lines of peers that trade models in the live area: how far each is, what it took, and how its committee does. */
import { bar, clean, metric, sparkline, table, tableWidth, truncate } from '../../node/cli/format.ts'
import type { Column, Paint } from '../../node/cli/format.ts'
import type { NodeEvent } from '../../node/events.ts'

/** What has been seen of one peer. */
export interface TradingView {
  readonly taken: Set<string>
  readonly refused: Set<string>
  readonly holdout: number[]
  offers: number
}

export interface PeerLine {
  readonly node: string
  readonly step: number
  readonly total: number
  readonly trading: TradingView
  readonly served: boolean
  readonly lost: string
  readonly waits: string
}

export function tradingView (): TradingView { return { taken: new Set(), refused: new Set(), holdout: [], offers: 0 } }

export function noteTrading (view: TradingView, event: NodeEvent): void {
  switch (event.type) {
    case 'card:published':
      view.offers++
      return
    case 'card:refused':
      view.refused.add(`${event.peer} ${event.modelId ?? ''}`)
      return
    case 'model:considered':
      (event.kept ? view.taken : view.refused).add(`${event.peer} ${event.modelId}`)
      if (event.kept) view.refused.delete(`${event.peer} ${event.modelId}`)
      return
    case 'committee': {
      const known = event.explanation.tasks.map(({ accuracy }) => accuracy).filter(Number.isFinite)
      if (known.length > 0) view.holdout.push(known.reduce((sum, value) => sum + value, 0) / known.length)
    }
  }
}

export function peerLines (peers: readonly PeerLine[], { width, paint }: { width: number, paint: Paint }): string[] {
  const columns: Column[] = [
    { title: 'peer', shrink: true },
    { title: 'state' },
    { title: 'progress' },
    ...['step', 'offers', 'took', 'refused'].map(title => ({ title, align: 'right' as const })),
    { title: 'hold-out of its committee' }
  ]
  const rowOf = ({ node, step, total, trading: { taken, refused, holdout, offers }, served, lost, waits }: PeerLine, cells: number): string[] => {
    const state = lost !== '' ? paint('red', 'lost') : served ? paint('green', 'serving') : waits !== '' ? paint('yellow', 'waiting') : total === 0 ? paint('dim', 'starting') : paint('cyan', 'training')
    return [
      clean(node),
      state,
      total === 0 ? ' '.repeat(cells) : paint('cyan', bar(step / total, cells)),
      total === 0 ? '-' : `${step}/${total}`,
      String(offers),
      String(taken.size),
      refused.size === 0 ? '0' : paint('yellow', String(refused.size)),
      holdout.length === 0 ? '-' : `${metric(holdout.at(-1))} ${sparkline(holdout, 12)}`
    ]
  }
  const least = 8
  const cells = Math.max(least, Math.min(30, least + width - tableWidth(columns, peers.map(peer => rowOf(peer, least)))))
  const [head = '', ...lines] = table(columns, peers.map(peer => rowOf(peer, cells)), { width, paint })
  return [head, ...lines.flatMap((line, i) => {
    const { lost, waits } = peers[i] as PeerLine
    if (lost !== '') return [line, paint('red', truncate(`  lost: ${lost}`, width))]
    return waits === '' ? [line] : [line, paint('yellow', truncate(`  waits: ${waits}`, width))]
  })]
}
