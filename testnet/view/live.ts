/** What the live area of a terminal shows: a line per host, a line per client, the last facts. Knows no escape codes but colours. */
import { bar, clean, clock, count, displayWidth, list, metric, percent, plural, sparkline, table, tableWidth, truncate } from '../../node/cli/format.ts'
import { byName, naming } from '../summary.ts'
import { noteTrading, peerLines, tradingView } from './live-peers.ts'
import { absent, bare, factOf, merge } from '../../node/cli/facts.ts'
import type { Column, Paint, Style } from '../../node/cli/format.ts'
import type { NodeEvent } from '../../node/events.ts'
import type { RoundReport } from '../../src/backbone/frames.ts'
import type { TradingView } from './live-peers.ts'

/** Steps of loss history behind a sparkline: an hour at the few events a second that a host sends is enough to see a trend. */
const HISTORY = 10_000
const FACTS = 4
/** Below this the backend's name gives way to the progress bar. */
const WIDE_COLUMNS = 100

type Started = Extract<NodeEvent, { type: 'node:started' }>
type State = 'starting' | 'waiting' | 'training' | 'evaluating' | 'done' | 'lost'

interface NodeView {
  readonly node: string
  started?: Started
  /** Exit status and reason, once stopped by a failure. */
  lost: string
  waits: string
  // Host
  host: boolean
  samplesPerSecond: number | undefined
  step: number
  total: number
  losses: Map<string, number[]>
  rounds: RoundReport[]
  // Client
  client: boolean
  tasks: readonly string[]
  attachedTo: string
  left: string
  served: string
  /** Of a peer that trades models: in place of host and client. */
  trading: TradingView | undefined
}

export interface FrameInit {
  readonly width: number
  readonly rows: number
  readonly seconds: number
  readonly paint: Paint
  readonly title: string
}

export class LiveState {
  readonly #nodes = new Map<string, NodeView>()
  #facts: Array<{ at: number, text: string, bad: boolean }> = []

  /** Puts node names in the place of the peer ids seen so far. */
  get name (): (text: string) => string { return naming([...this.#nodes.values()].map(({ started }) => started)) }

  /** @param at - seconds since the start */
  event (event: NodeEvent, at: number): void {
    const view = this.#node(event.node)
    switch (event.type) {
      case 'node:started':
        view.started = event
        view.lost = ''
        view.host ||= event.roles.includes('host')
        view.client ||= event.roles.includes('client')
        if (event.roles.includes('peer')) view.trading ??= tradingView()
        break
      case 'host:ready':
        view.host = true
        view.samplesPerSecond = event.samplesPerSecond
        break
      case 'client:ready':
        view.client = true
        view.tasks = event.tasks
        break
      case 'client:attached':
        view.attachedTo = this.name(event.host)
        view.waits = view.left = ''
        break
      case 'client:detached':
        view.attachedTo = ''
        view.left = clean(this.name(`left ${event.host}: ${event.reason}`))
        break
      case 'waiting': view.waits = bare(event.reason); break
      case 'step':
        view.host ||= view.trading === undefined
        view.step = event.step
        view.total = event.total
        for (const [task, loss] of Object.entries(event.losses)) remember(view.losses, task, loss)
        this.#moved(view)
        break
      case 'round':
        view.host = true
        view.rounds.push(event.report)
        this.#moved(view)
        break
      case 'report': view.served = event.report.served; break
      case 'node:stopped': if (event.exitCode !== 0) view.lost = `exit status ${event.exitCode}: ${event.reason}`
    }
    if (view.trading !== undefined) noteTrading(view.trading, event)
    this.#note(event, at)
  }

  /** At most `rows` lines of at most `width` cells. */
  frame (init: FrameInit): string[] {
    const { width, rows, paint } = init
    const views = [...this.#nodes.values()].sort((a, b) => byName(a.node, b.node))
    const hosts = views.filter(view => view.host)
    const peers = views.flatMap(view => view.trading === undefined ? [] : [{ ...view, trading: view.trading, served: view.served !== '', lost: clean(this.name(view.lost)), waits: clean(this.name(view.waits)) }])
    const clients = views.filter(view => view.client && view.trading === undefined)
    const head = [
      `${paint('bold', clean(init.title))}  ${clock(init.seconds)}  ${peers.length > 0 ? plural(peers.length, 'peer') : `${plural(hosts.length, 'host')}, ${plural(clients.length, 'client')}`}`
    ]
    const facts = this.#facts.slice(-FACTS).map(({ at, text, bad }) => paint(bad ? 'yellow' : 'dim', truncate(`${clock(at)} ${text}`, width)))
    let room = rows - head.length
    const take = (lines: string[]): string[] => {
      const taken = lines.slice(0, Math.max(0, room))
      room -= taken.length
      return taken
    }
    const factLines = facts.length === 0 ? [] : ['', ...facts]
    const hostLines = hosts.length === 0 ? [] : ['', ...this.#hostLines(hosts, clients, init)]
    const peerLinesNow = peers.length === 0 ? [] : ['', ...peerLines(peers, init)]
    const free = rows - head.length - peerLinesNow.length - hostLines.length - factLines.length
    const clientLines = clients.length === 0 ? [] : ['', ...this.#clientLines(clients, init, Math.max(2, free - 2))]
    return [...head, ...take(peerLinesNow), ...take(hostLines), ...take(clientLines), ...take(factLines)].map(line => truncate(line, width))
  }

  #node (node: string): NodeView {
    let view = this.#nodes.get(node)
    if (view === undefined) {
      view = {
        node,
        lost: '',
        waits: '',
        host: false,
        samplesPerSecond: undefined,
        step: 0,
        total: 0,
        losses: new Map(),
        rounds: [],
        client: false,
        tasks: [],
        attachedTo: '',
        left: '',
        served: '',
        trading: undefined
      }
      this.#nodes.set(node, view)
    }
    return view
  }

  /** A host that steps waits for nobody, nor do its clients. */
  #moved (host: NodeView): void {
    for (const view of this.#nodes.values()) if (view === host || view.attachedTo === host.node) view.waits = ''
  }

  #note (event: NodeEvent, at: number): void {
    const bad = event.type === 'error' || event.type === 'client:detached' || event.type === 'step:skipped' || event.type === 'card:refused' || (event.type === 'node:stopped' && event.exitCode !== 0)
    if (!bad && event.type !== 'round' && event.type !== 'report' && event.type !== 'committee') return // the lines above show the rest
    const name = (text: string): string => clean(this.name(text))
    const text = event.type === 'round'
      ? `${clean(event.node)} closed round ${event.report.round}: ${[merge(event.report, name), ...absent(event.report, name)].join('; ')}`
      : factOf(event, this.name) ?? ''
    this.#facts = [...this.#facts.slice(1 - FACTS), { at, text, bad }]
  }

  #hostLines (hosts: readonly NodeView[], clients: readonly NodeView[], { width, paint }: FrameInit): string[] {
    const wide = width >= WIDE_COLUMNS
    const columns: Column[] = [
      { title: 'host', shrink: true },
      ...wide ? [{ title: 'backend', shrink: true }] : [],
      { title: 'rows/s', align: 'right' },
      { title: 'progress' },
      { title: 'step', align: 'right' },
      { title: 'round', align: 'right' },
      { title: 'clients', align: 'right' },
      { title: 'conflicts' },
      { title: 'min cos', align: 'right' }
    ]
    const rowOf = (host: NodeView, barWidth: number): string[] => {
      const last = host.rounds.at(-1)
      const shares = host.rounds.filter(({ pairs }) => pairs > 0).map(({ conflictPairs, pairs }) => conflictPairs / pairs)
      const share = shares.at(-1)
      return [
        clean(host.node),
        ...wide ? [clean(host.started?.backend ?? '-')] : [],
        count(host.samplesPerSecond),
        host.total === 0 ? ' '.repeat(barWidth) : paint('cyan', bar(host.step / host.total, barWidth)),
        host.total === 0 ? '-' : `${host.step}/${host.total}`,
        last === undefined ? '-' : String(last.round),
        String(clients.filter(client => client.attachedTo === host.node).length),
        share === undefined ? '-' : `${percent(share, 0).padStart(5)} ${sparkline(shares.slice(-6), 6)}`,
        last === undefined || last.pairs === 0 ? '-' : metric(last.minCosine, 2)
      ]
    }
    const least = hosts.map(host => rowOf(host, 8))
    const barWidth = Math.max(8, Math.min(30, 8 + width - tableWidth(columns, least)))
    const [head = '', ...lines] = table(columns, hosts.map(host => rowOf(host, barWidth)), { width, paint })
    return [head, ...lines.flatMap((line, i) => {
      const host = hosts[i] as NodeView
      if (host.lost !== '') return [line, paint('red', truncate(`  lost: ${clean(this.name(host.lost))}`, width))]
      return host.waits === '' ? [line] : [line, paint('yellow', truncate(`  waits: ${clean(this.name(host.waits))}`, width))]
    })]
  }

  #clientLines (clients: readonly NodeView[], { width, paint }: FrameInit, room: number): string[] {
    const stated = clients.map(client => ({ client, ...this.#stateOf(client) }))
    // Where not all fit, those in trouble come first and the rest are counted.
    const shown = stated.length <= room
      ? stated
      : [...stated].sort((a, b) => Number(URGENT.has(b.state)) - Number(URGENT.has(a.state))).slice(0, room - 1)
    const hidden = stated.filter(each => !shown.includes(each))
    const columns: Column[] = [{ title: 'client', shrink: true }, { title: 'host', shrink: true }, { title: 'state' }, { title: 'tasks (mean loss at the host)', shrink: true }]
    const cells = stated.filter(each => shown.includes(each)).map(({ client, state, why }) => ({
      cells: [clean(client.node), client.attachedTo === '' ? '-' : clean(client.attachedTo), paint(COLOUR[state], state)], client, state, why
    }))
    const widths = [0, 1, 2].map(i => Math.max(...cells.map(row => displayWidth(row.cells[i] as string)), displayWidth((columns[i] as Column).title)))
    const rest = width - widths.reduce((sum, each) => sum + each + 2, 0)
    const rows = cells.map(({ cells: first, client, state, why }) =>
      [...first, state === 'training' || state === 'evaluating' ? this.#losses(client, rest) : why])
    const lines = table(columns, rows, { width, paint })
    if (hidden.length === 0) return lines
    const counts = [...new Set(hidden.map(({ state }) => state))].map(state => `${hidden.filter(each => each.state === state).length} ${state}`)
    return [...lines, paint('dim', `… and ${hidden.length} more: ${counts.join(', ')}`)]
  }

  #stateOf (client: NodeView): { state: State, why: string } {
    const why = (text: string): string => clean(this.name(text))
    const host = this.#nodes.get(client.attachedTo)
    if (client.served !== '') return { state: 'done', why: `serves ${clean(client.served)}` }
    if (client.lost !== '') return { state: 'lost', why: why(client.lost) }
    if (client.waits !== '') return { state: 'waiting', why: why(client.waits) }
    if (client.left !== '') return { state: 'waiting', why: why(client.left) }
    if (client.attachedTo === '') {
      return client.tasks.length === 0 ? { state: 'starting', why: 'reading its data' } : { state: 'waiting', why: `for a host; has ${list(client.tasks.map(clean))}` }
    }
    if (host !== undefined && host.waits !== '') return { state: 'waiting', why: why(`${host.node}: ${host.waits}`) }
    if (host === undefined || host.total === 0) return { state: 'waiting', why: why(`for the first step of ${client.attachedTo}`) }
    return { state: host.step >= host.total || host.rounds.at(-1)?.final === true ? 'evaluating' : 'training', why: '' }
  }

  /** 'digit 0.812 █▆▅▃▂  parity 0.310 ▇▅▂▁', as many tasks as fit, sparklines in the room that is left. */
  #losses (client: NodeView, width: number): string {
    const losses = this.#nodes.get(client.attachedTo)?.losses
    const known = client.tasks.map(task => ({ label: clean(task), history: losses?.get(task) ?? [] }))
      .map(({ label, history }) => ({ text: history.length === 0 ? label : `${label} ${metric(history.at(-1))}`, history }))
    let fits = known.length
    const needed = (n: number): number => known.slice(0, n).reduce((sum, { text }) => sum + displayWidth(text) + 2, -2) + (n < known.length ? 4 : 0)
    while (fits > 1 && needed(fits) > width) fits--
    const spark = Math.min(12, Math.floor((width - needed(fits)) / fits) - 1)
    const parts = known.slice(0, fits).map(({ text, history }) => spark < 3 || history.length < 2 ? text : `${text} ${sparkline(history, spark).padEnd(spark)}`)
    return `${parts.join('  ')}${fits < known.length ? `  +${known.length - fits}` : ''}`
  }
}

const URGENT: ReadonlySet<State> = new Set(['lost', 'waiting'])

const COLOUR: Readonly<Record<State, Style>> = {
  starting: 'dim', waiting: 'yellow', training: 'cyan', evaluating: 'blue', done: 'green', lost: 'red'
}

function remember (histories: Map<string, number[]>, task: string, loss: number): void {
  if (loss == null || !Number.isFinite(loss)) return
  const history = histories.get(task) ?? []
  history.push(loss)
  if (history.length > HISTORY) history.shift()
  histories.set(task, history)
}
