/** Sites that trade models, as a person reads it at the end of a run: what each offered and took, and whom it is served by. */
import { clean, metric, percent, plural, table, tableWidth } from '../../node/cli/format.ts'
import type { Column, Paint } from '../../node/cli/format.ts'
import type { SummaryTrading } from '../trading.ts'

const REFUSALS_SHOWN = 5

export function tradingLines ({ traders, refusals }: SummaryTrading, section: (title: string, text: string) => string[], { width, paint }: { width: number, paint: Paint }): string[] {
  const columns: Column[] = [
    { title: 'peer', shrink: true },
    ...['offers', 'version', 'took', 'refused', 'choices', 'own share', 'hold-out first', 'last'].map(title => ({ title, align: 'right' as const }))
  ]
  const rows = traders.map(({ node, offered, version, taken, refused, choices, ownShare, firstHoldout, holdout }) => [
    clean(node), String(offered), version === 0 ? '-' : String(version), String(taken), refused === 0 ? '0' : paint('yellow', String(refused)), String(choices), percent(ownShare, 0), metric(firstHoldout), metric(holdout)
  ])
  const foreign = traders.filter(({ ownShare }) => ownShare !== null && ownShare < 1).length
  return [
    ...table(columns, rows, { width, gap: tableWidth(columns, rows) <= width ? 2 : 1, paint }),
    paint('dim', 'own share: of the members that serve now, the site\'s own; hold-out: of the first committee and of the last, on the site\'s own rows'),
    ...section('committees', `${foreign} of ${plural(traders.length, 'site')} ${foreign === 1 ? 'is' : 'are'} served by models of others too`),
    ...refusals.slice(-REFUSALS_SHOWN).flatMap(({ node, peer, modelId, reason }) => section('refused', `${node}: ${modelId ?? 'a card'} of ${peer}: ${reason}`))
  ]
}
