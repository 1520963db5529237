/** The end of a run as a person reads it: the table per client and task, the conflict report, what it cost, one sentence. */
import { bytes, clean, count, duration, metric, percent, plural, pad, signed, table, tableWidth, wrap } from '../../node/cli/format.ts'
import { affinityLines } from './affinity.ts'
import { FEWEST_POSITIVES } from '../summary.ts'
import { LEVEL, inWords } from '../verdict.ts'
import { scopeLines } from '../scopes.ts'
import { removed } from '../../node/cli/facts.ts'
import { tradingLines } from './trading.ts'
import type { Column, Paint } from '../../node/cli/format.ts'
import type { Means, Summary, SummaryTask } from '../summary.ts'

/** Long lines of prose are hard to follow, whatever the terminal's width. */
const PROSE_COLUMNS = 110

export function closingLines (summary: Summary, init: { width: number, paint: Paint }): string[] {
  const { width, paint } = init
  const prose = Math.min(width, PROSE_COLUMNS)
  const section = (title: string, text: string): string[] =>
    wrap(`${pad(title, 11)}${clean(text)}`, prose, ' '.repeat(11)).map((line, i) => i === 0 ? paint('dim', line.slice(0, 11)) + line.slice(11) : line)
  return [
    ...results(summary, width, paint),
    ...scopeLines(summary.tasks).flatMap(text => section('labels', text)),
    '',
    ...summary.affinity === undefined ? [] : [...affinityLines(summary.affinity, section, { width: prose, paint }), ''],
    ...summary.trading === undefined ? conflictLines(summary, section, paint) : tradingLines(summary.trading, section, { width, paint }),
    ...summary.conflicts.fallbacks === undefined ? [] : section('', inWords(summary.conflicts.fallbacks)).map(line => paint('yellow', line)),
    '',
    ...nodes(summary, width, paint),
    '',
    ...section('traffic', cutTraffic(summary)),
    ...section('memory', `${bytes(summary.peakRssBytes)} at the peak of all processes, ${bytes(summary.largestRssBytes)} the largest one`),
    ...lag(summary, section),
    ...section('time', `${summary.firstRoundSeconds === null ? '' : `first round after ${duration(summary.firstRoundSeconds)}, `}whole run ${duration(summary.seconds)}`),
    ...moves(summary).flatMap(text => section('moved', text)),
    ...summary.errors.slice(-5).flatMap(({ node, code, message, next }) => section('problem', `${node}: ${message} (${code})${next === undefined ? '' : `; next: ${next}`}`)),
    ...summary.missing.flatMap(text => section('missing', text).map(line => paint('red', line))),
    '',
    ...wrap(clean(summary.verdict), prose).map(line => paint('bold', line))
  ]
}

type Section = (title: string, text: string) => string[]

function conflictLines (summary: Summary, section: Section, paint: Paint): string[] {
  const { conflictPairs, pairs, meanCosine, minCosine, removedShare } = summary.conflicts
  return [
    ...section('conflicts', pairs === 0
      ? 'no two gradients met in one step'
      : `${count(pairs)} pairs of gradients, ${percent(conflictPairs / pairs)} in conflict (cos < 0); cos mean ${metric(meanCosine)}, min ${metric(minCosine)}; projection: ${removed(removedShare)}`),
    ...conflictFree(summary, section, paint),
    ...between(summary, section)
  ]
}

function conflictFree ({ conflicts }: Summary, section: Section, paint: Paint): string[] {
  if (conflicts.conflictFree === null) return []
  const answer = conflicts.conflictFree ? 'yes' : 'no'
  return section('', `conflict-free: ${answer}; min d.g cos ${metric(conflicts.minDirectionCosine)} (projected), min u.g cos ${metric(conflicts.minUpdateCosine)} (applied by the optimiser)`)
    .map(line => line.replace(`conflict-free: ${answer}`, paint(conflicts.conflictFree === true ? 'green' : 'red', `conflict-free: ${answer}`)))
}

/** The same between the hosts' deltas of a round. */
function between ({ conflicts: { between } }: Summary, section: Section): string[] {
  if (between === undefined) return []
  const { merges, pairs, conflictPairs, meanCosine, minCosine, removedShare, minDirectionCosine } = between
  return section('', `between hosts, ${plural(merges, 'merge')}: ${percent(conflictPairs / pairs)} of ${plural(pairs, 'pair')} of deltas in conflict; cos mean ${metric(meanCosine)}, min ${metric(minCosine)}; ${removed(removedShare)}; min d.delta cos ${metric(minDirectionCosine)}`)
}

function results (summary: Summary, width: number, paint: Paint): string[] {
  const control = summary.tasks.some(task => task.twoLocals !== undefined)
  const simple = summary.tasks.some(task => task.simple !== undefined)
  const traded = summary.trading !== undefined
  const shown: Shown = { control, simple, traded }
  const rows = [
    ...summary.tasks.map((task, i) => taskRow(task, summary.tasks[i - 1]?.client !== task.client, shown, paint)),
    ...Object.entries(summary.means).filter(([, means]) => means.tasks > 1).map(([name, means]) => meanRow(name, means, shown, paint))
  ]
  const layouts = [
    { titles: ['simple', 'best local', '2 locals', 'federated', 'ensemble', 'all own', 'best single', 'whole bench'], gap: 2 },
    { titles: ['simple', 'best', '2 loc.', 'feder.', 'ensem.', 'own', 'single', 'bench'], gap: 2 },
    { titles: ['simpl', 'best', '2 loc', 'feder', 'ensem', 'own', 'singl', 'bench'], gap: 1 }
  ].map(({ titles, gap }) => ({ gap, columns: resultColumns(titles, shown) }))
  const fits = layouts.find(({ columns, gap }) => tableWidth(columns, rows, gap) <= width) ?? layouts.at(-1) as typeof layouts[number]
  const small = summary.tasks.filter(task => task.gain === null && task.positives !== null && task.positives < FEWEST_POSITIVES)
  const lines = table(fits.columns, rows, { width, gap: fits.gap, paint })
  const notes = [
    `gain: served against ${simple ? 'best local' : 'local'}, + is better whichever way the metric points`,
    ...simple ? ['simple: the site\'s own linear model; best local: the better of local and simple on the site\'s hold-out'] : [],
    ...control ? ['2 locals: two models that never met a peer, averaged'] : [],
    ...traded ? ['local: the site\'s best own model by the hold-out; all own: its own averaged; best single: of all that it has; whole bench: all of them averaged'] : [],
    ...small.length === 0 ? [] : [`n too small to rank, fewer than ${FEWEST_POSITIVES} positives: ${small.map(task => `${task.client} ${task.id} (${task.positives})`).join(', ')}`]
  ]
  if (summary.tasks.length === 0) return [paint('yellow', 'no client sent a report, so there is nothing to compare')]
  return [...lines, ...wrap(clean(notes.join('; ')), Math.min(width, PROSE_COLUMNS)).map(line => paint('dim', line))]
}

/** Columns that a run may have or not. */
interface Shown { readonly control: boolean, readonly simple: boolean, readonly traded: boolean }

function resultColumns ([linear = '', best = '', twoLocals = '', federated = '', ensemble = '', ...traders]: readonly string[], { control, simple, traded }: Shown): Column[] {
  const numbers = ['n', 'local', ...simple ? [linear, best] : [], ...control ? [twoLocals] : [], ...traded ? traders : [federated, ensemble], 'served', 'gain']
  return [
    { title: 'client', shrink: true },
    { title: 'task', shrink: true },
    { title: 'metric', shrink: true },
    ...numbers.map(title => ({ title, align: 'right' as const })),
    { title: 'serves', shrink: true }
  ]
}

function taskRow (task: SummaryTask, first: boolean, { control, simple, traded }: Shown, paint: Paint): string[] {
  return [
    first ? clean(task.client) : '',
    clean(task.id),
    `${task.higherIsBetter ? '↑' : '↓'} ${clean(task.metric)}`,
    count(task.support),
    metric(task.local),
    ...simple ? [metric(task.simple), metric(task.bestLocal)] : [],
    ...control ? [metric(task.twoLocals)] : [],
    ...traded ? [metric(task.traded?.ownEnsemble), metric(task.traded?.bestSingle), metric(task.traded?.wholeBench)] : [metric(task.federated), metric(task.ensemble)],
    paint('bold', metric(task.served)),
    gainCell(task, paint),
    first ? clean(task.servedBy) : ''
  ]
}

function gainCell (task: SummaryTask, paint: Paint): string {
  if (task.gain !== null) return coloured(task.gain, paint)
  return paint('yellow', task.positives !== null && task.positives < FEWEST_POSITIVES ? 'n small' : '-')
}

function coloured (gain: number, paint: Paint): string {
  const text = signed(gain)
  return Math.abs(gain) < LEVEL ? text : paint(gain > 0 ? 'green' : 'red', text)
}

function meanRow (name: string, means: Means, { control, simple, traded }: Shown, paint: Paint): string[] {
  return [
    'mean',
    plural(means.tasks, 'task'),
    `↑ ${clean(name)}`,
    '',
    metric(means.local),
    ...simple ? [metric(means.simple), metric(means.bestLocal)] : [],
    ...control ? [metric(means.twoLocals)] : [],
    ...traded ? ['', '', ''] : [metric(means.federated), metric(means.ensemble)],
    paint('bold', metric(means.served)),
    means.gain === null ? '-' : coloured(means.gain, paint),
    ''
  ]
}

function nodes (summary: Summary, width: number, paint: Paint): string[] {
  const columns: Column[] = [
    { title: 'node', shrink: true },
    { title: 'backend', shrink: true },
    ...['rounds', 'merges', 'rows/s', 'sent', 'received', 'memory', 'lag p99'].map(title => ({ title, align: 'right' as const }))
  ]
  const rows = summary.hosts.map(host => [
    clean(host.node), clean(host.backend), String(host.rounds), String(host.merges), count(host.samplesPerSecond),
    bytes(host.bytesSent), bytes(host.bytesReceived), bytes(host.rssBytes), milliseconds(host.loopLagP99Ms)
  ])
  const { clients } = summary
  if (clients.length > 0) {
    const worst = (of: (client: typeof clients[number]) => number | null): number | null => {
      const known = clients.map(of).filter(value => value !== null)
      return known.length === 0 ? null : Math.max(...known)
    }
    const backends = new Set(clients.map(client => client.backend))
    rows.push([
      clients.length === 1 ? clean(clients[0]?.node ?? '') : 'clients (max)', backends.size === 1 ? clean([...backends].join()) : 'mixed', '', '', '',
      bytes(worst(client => client.bytesSent)), bytes(worst(client => client.bytesReceived)),
      bytes(worst(client => client.rssBytes)), milliseconds(worst(client => client.loopLagP99Ms))
    ])
  }
  return table(columns, rows, { width, gap: tableWidth(columns, rows) <= width ? 2 : 1, paint })
}

/** Of the node that was worst: how late its network thread ran, and whose doing that was. */
function lag ({ hosts, clients }: Summary, section: Section): string[] {
  const [worst] = [...hosts, ...clients].filter(node => node.loopLagP99Ms !== null).sort((a, b) => (b.loopLagP99Ms as number) - (a.loopLagP99Ms as number))
  if (worst?.loopBusyP99Ms == null) return []
  return section('lag', `${milliseconds(worst.loopLagP99Ms)} p99 at ${clean(worst.node)} while training, ${milliseconds(worst.loopBusyP99Ms)} by its own work, the rest by a busy machine`)
}

function milliseconds (ms: number | null): string { return duration(ms === null ? null : ms / 1000) }

function cutTraffic ({ rounds, clients, trading }: Summary): string {
  if (trading !== undefined) return `${bytes(clients.reduce((sum, client) => sum + client.bytesReceived, 0))} of weights pulled by ${plural(clients.length, 'peer')}; no rows, activations or gradients`
  const total = (of: (round: Summary['rounds'][number]) => number): number => rounds.reduce((sum, round) => sum + of(round), 0)
  return `${bytes(total(round => round.bytesUp))} up from clients to hosts (activations, gradients), ${bytes(total(round => round.bytesDown))} down`
}

function moves ({ clients }: Summary): string[] {
  return clients.flatMap(client => client.detaches.map(({ host, reason }) => `${client.node} left ${host}: ${reason}`)).slice(-5)
}
