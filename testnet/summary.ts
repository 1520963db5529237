/**
 * The closing object of a run, `{type: 'summary', ...}`, gathered from the nodes' events: what every client got out of it,
 * what every round did, what it cost, and whether anybody is missing. Numbers that do not exist are null, never 0.
 */
import { affinityOf } from './affinity.ts'
import { bare } from '../node/cli/facts.ts'
import { conflictsOf, fallbacksOf } from './conflicts.ts'
import { finite, meanOf, sum } from './figures.ts'
import { scopesOf } from './scopes.ts'
import { TradingTally } from './trading.ts'
import { verdict } from './verdict.ts'
import type { Charter } from '../src/federation/charter.ts'
import type { Conflicts, CosineFigures } from './conflicts.ts'
import type { NodeEvent } from '../node/events.ts'
import type { RoundReport } from '../src/backbone/frames.ts'
import type { SummaryAffinity } from './affinity.ts'
import type { Scores } from '../src/tasks/task.ts'
import type { ClientReport, TaskReport } from '../src/training/committee.ts'
import type { SummaryScopes } from './scopes.ts'
import type { SummaryTrading } from './trading.ts'

/** Rows of the class in question below which sites are not compared: with nine, one row moves recall by .11. */
export const FEWEST_POSITIVES = 10

export interface SummaryTask {
  readonly id: string
  readonly client: string
  readonly metric: string
  readonly higherIsBetter: boolean
  /** The site's own deep model. */
  readonly local: number | null
  readonly federated: number | null
  readonly ensemble: number | null
  readonly served: number | null
  /** Control: an ensemble of two models that never met a peer. */
  readonly twoLocals?: number | null
  /** The site's linear model, where it has one. */
  readonly simple?: number | null
  /** The better of `local` and `simple` by the site's own hold-out, what `gain` is counted against; without a linear model it is `local`. */
  readonly bestLocal: number | null
  /** Test rows (or labelled positions). */
  readonly support: number
  /** Rows of the class that the metric hangs on; null where there are no classes. */
  readonly positives: number | null
  /** Improvement of served over bestLocal, above 0 is better for every metric; null where the rows are too few to say. */
  readonly gain: number | null
  readonly servedBy: string
  readonly reason: string
  /** Where the client's rows have some of the classes only. */
  readonly scopes?: SummaryScopes
  /** Where models are traded: all of the site's own averaged, the best single one by the hold-out, and all that it has. */
  readonly traded?: { readonly ownEnsemble: number | null, readonly bestSingle: number | null, readonly wholeBench: number | null }
}

export interface SummaryRound extends Omit<RoundReport, 'meanCosine' | 'minCosine' | 'removedShare' | 'minDirectionCosine' | 'minUpdateCosine'>, CosineFigures {
  /** Tasks that trained in it, where tasks train in groups. */
  readonly group?: readonly string[]
}

export interface NodeFigures {
  readonly node: string
  readonly peer: string
  readonly backend: string
  readonly rssBytes: number | null
  /** While training: how late the network thread ran, and how much of that its own work can have caused. */
  readonly loopLagP99Ms: number | null
  readonly loopBusyP99Ms: number | null
  /** `first` is measured after the first closed round: what is built once is no leak. */
  readonly liveTensors: { readonly first: number, readonly last: number, readonly max: number } | null
  readonly bytesSent: number
  readonly bytesReceived: number
}

export interface SummaryHost extends NodeFigures {
  readonly rounds: number
  /** Rounds that took in another host's delta. */
  readonly merges: number
  readonly samplesPerSecond: number | null
}

export interface SummaryClient extends NodeFigures {
  /** Name of its data, as in `tasks`. */
  readonly client: string
  readonly tasks: readonly string[]
  readonly samples: { readonly train: number, readonly holdout: number, readonly test: number } | null
  readonly served: string | null
  readonly reason: string
  readonly attachedTo: readonly string[]
  readonly detaches: ReadonlyArray<{ readonly host: string, readonly reason: string }>
  readonly bytes: { readonly sent: number, readonly received: number }
}

export interface Means {
  /** Ranked tasks behind the means. */
  readonly tasks: number
  readonly local: number | null
  readonly federated: number | null
  readonly ensemble: number | null
  readonly served: number | null
  readonly twoLocals?: number | null
  readonly simple?: number | null
  readonly bestLocal: number | null
  readonly gain: number | null
}

/** What the testnet knows and the nodes do not say. */
export interface RunFacts {
  readonly seed: number
  readonly data: string
  readonly strategy: string
  readonly merge: string
  readonly runner: string
  /** Date.now() at the start. */
  readonly startedAt: number
  readonly consortium?: string
  /** What the run was fixed by: whoever reads the summary can plan the next one. */
  readonly charter?: Charter
  /** Names of all nodes that were to take part: one that never spoke is missed too. */
  readonly nodes?: readonly string[]
}

export interface Summary extends Omit<RunFacts, 'startedAt' | 'nodes'> {
  readonly type: 'summary'
  readonly complete: boolean
  /** Who is missing and why; empty when complete. */
  readonly missing: readonly string[]
  /** What collaboration brought, in plain words. */
  readonly verdict: string
  readonly tasks: readonly SummaryTask[]
  /** Mean over the ranked tasks of a metric, for metrics where higher is better: those share a scale. */
  readonly means: Readonly<Record<string, Means>>
  readonly conflicts: Conflicts
  /** Where the tasks were split. */
  readonly affinity?: SummaryAffinity
  /** Where models are traded. */
  readonly trading?: SummaryTrading
  readonly rounds: readonly SummaryRound[]
  readonly hosts: readonly SummaryHost[]
  readonly clients: readonly SummaryClient[]
  /** The backend of all nodes, or 'mixed'. */
  readonly backend: string
  readonly backends: readonly string[]
  readonly firstRoundSeconds: number | null
  readonly seconds: number
  /** Sum of the processes' peaks. */
  readonly peakRssBytes: number
  readonly largestRssBytes: number
  readonly errors: ReadonlyArray<Omit<Extract<NodeEvent, { type: 'error' }>, 'type'>>
}

type Event<T extends NodeEvent['type']> = Extract<NodeEvent, { type: T }>

interface NodeRecord {
  readonly node: string
  started?: Event<'node:started'>
  stopped?: Event<'node:stopped'> | undefined
  host?: Event<'host:ready'>
  client?: Event<'client:ready'>
  computing?: Event<'client:computing'>
  report?: ClientReport
  wait: string
  rounds: Array<RoundReport & Pick<SummaryRound, 'group'>>
  attached: string[]
  detached: Array<{ host: string, reason: string }>
  rss: number
  lag: number | undefined
  busy: number | undefined
  tensors: { first: number, last: number, max: number, warm: boolean } | undefined
  /** Byte counters start anew with each process. */
  traffic: Map<number, { sent: number, received: number }>
}

export class SummaryBuilder {
  readonly #now: () => number
  readonly #nodes = new Map<string, NodeRecord>()
  readonly #rssByProcess = new Map<number, number>()
  readonly #errors: Array<Omit<Event<'error'>, 'type'>> = []
  #firstRoundAt: number | undefined
  #affinity: SummaryAffinity | undefined
  readonly #trading = new TradingTally()

  /** @param now - milliseconds, the clock of `startedAt` */
  constructor (now: () => number = Date.now) { this.#now = now }

  add (event: NodeEvent): void {
    const record = this.#record(event.node)
    this.#trading.add(event)
    switch (event.type) {
      case 'node:started':
        record.started = event
        record.stopped = undefined
        break
      case 'node:stopped': record.stopped = event; break
      case 'host:ready': record.host = event; break
      case 'client:ready': record.client = event; break
      case 'client:computing': record.computing = event; break
      case 'client:attached': record.attached.push(event.host); record.wait = ''; break
      case 'client:detached': record.detached.push({ host: event.host, reason: event.reason }); break
      case 'waiting': record.wait = bare(event.reason); break
      case 'report': record.report = event.report; break
      case 'round':
        record.rounds.push({ ...event.report, ...event.group === undefined ? {} : { group: event.group } })
        this.#firstRoundAt ??= this.#now()
        break
      case 'affinity': this.#affinity ??= affinityOf(event); break
      case 'gauges': this.#gauges(record, event); break
      case 'error': {
        const { type, ...rest } = event
        this.#errors.push(rest)
      }
    }
  }

  build (facts: RunFacts): Summary {
    const { startedAt, nodes = [], ...kept } = facts
    const records = [...this.#nodes.values()].sort((a, b) => byName(a.node, b.node))
    const name = this.#naming()
    const tasks = records.flatMap(record => record.report === undefined ? [] : tasksOf(record.report))
    const rounds = records.flatMap(record => record.rounds.map(report => roundOf(record.node, report, name)))
    const missing = [
      ...nodes.filter(node => !this.#nodes.has(node)).map(node => `${node}: never started`),
      ...records.flatMap(record => absence(record, rounds.length > 0)).map(name),
      // Sites that trade models close none.
      ...rounds.length === 0 && facts.charter?.bench === undefined ? ['no round was closed'] : []
    ]
    const trading = this.#trading.build(name)
    const backends = [...new Set(records.map(backendOf).filter(backend => backend !== ''))]
    const peaks = [...this.#rssByProcess.values()]
    return {
      type: 'summary',
      ...kept,
      complete: missing.length === 0,
      missing,
      verdict: verdict(tasks, missing, fallbacksOf(rounds)),
      tasks,
      means: meansOf(tasks),
      conflicts: conflictsOf(rounds),
      ...this.#affinity === undefined ? {} : { affinity: this.#affinity },
      ...trading === undefined ? {} : { trading },
      rounds,
      hosts: records.filter(record => record.rounds.length > 0 || record.host !== undefined || record.started?.roles.includes('host') === true).map(record => ({
        ...figures(record),
        rounds: record.rounds.length,
        merges: record.rounds.filter(({ merged, host }) => merged.some(other => other !== host)).length,
        samplesPerSecond: record.host?.samplesPerSecond ?? null
      })),
      clients: records.filter(isClient).map(record => ({
        ...figures(record),
        client: record.report?.client ?? record.node,
        tasks: record.client?.tasks ?? record.report?.tasks.map(task => task.id) ?? [],
        samples: record.client?.samples ?? null,
        served: record.report?.served ?? null,
        reason: record.report?.reason ?? '',
        attachedTo: [...new Set(record.attached.map(name))],
        detaches: record.detached.map(({ host, reason }) => ({ host: name(host), reason: name(reason) })),
        bytes: traffic(record)
      })),
      backend: backends.length === 1 ? backends[0] as string : 'mixed',
      backends,
      firstRoundSeconds: this.#firstRoundAt === undefined ? null : (this.#firstRoundAt - startedAt) / 1000,
      seconds: (this.#now() - startedAt) / 1000,
      peakRssBytes: sum(peaks),
      largestRssBytes: Math.max(0, ...peaks),
      errors: this.#errors
    }
  }

  #record (node: string): NodeRecord {
    let record = this.#nodes.get(node)
    if (record === undefined) {
      record = { node, wait: '', rounds: [], attached: [], detached: [], rss: 0, lag: undefined, busy: undefined, tensors: undefined, traffic: new Map() }
      this.#nodes.set(node, record)
    }
    return record
  }

  #gauges (record: NodeRecord, event: Event<'gauges'>): void {
    const process = record.started?.pid ?? 0
    record.rss = Math.max(record.rss, event.rssBytes)
    record.lag = event.loopLagP99Ms
    record.busy = event.loopBusyP99Ms
    this.#rssByProcess.set(process, Math.max(this.#rssByProcess.get(process) ?? 0, event.rssBytes))
    record.traffic.set(process, { sent: event.bytesSent, received: event.bytesReceived })
    const warm = this.#firstRoundAt !== undefined
    const { liveTensors: live } = event
    const before = record.tensors
    record.tensors = before === undefined || (warm && !before.warm)
      ? { first: live, last: live, max: Math.max(live, before?.max ?? 0), warm }
      : { ...before, last: live, max: Math.max(before.max, live) }
  }

  /** Peers call each other by key; people read names. Works on ids and on sentences. */
  #naming (): (text: string) => string {
    return naming([...this.#nodes.values()].map(({ started }) => started))
  }
}

/** Order of nodes in tables: 'client-2' before 'client-10'. */
export const byName = new Intl.Collator('en', { numeric: true }).compare

/** Puts node names in the place of peer ids. */
export function naming (started: Iterable<Pick<Event<'node:started'>, 'node' | 'peer'> | undefined>): (text: string) => string {
  const names = [...started].flatMap(event => event === undefined || event.peer === '' || event.peer === event.node ? [] : [event])
  return text => names.reduce((named, { node, peer }) => named.replaceAll(peer, node), text)
}

function isClient (record: NodeRecord): boolean {
  return record.report !== undefined || record.client !== undefined || record.started?.roles.includes('client') === true
}

/** @param trained - rounds were closed at all: where none were, one line says so for everybody */
function absence (record: NodeRecord, trained: boolean): string[] {
  const { node, stopped } = record
  const failed = stopped !== undefined && stopped.exitCode !== 0
  const end = failed ? `stopped with exit status ${stopped.exitCode}: ${stopped.reason}` : ''
  if (isClient(record) && record.report === undefined) {
    const why = failed ? end : record.wait === '' ? '' : `was waiting: ${record.wait}`
    return [`${node}: no report${why === '' ? '' : `; ${why}`}`]
  }
  if (failed) return [`${node}: ${end}`]
  const last = record.rounds.at(-1)
  if (trained && record.started?.roles.includes('host') === true && last?.final !== true) return [`${node}: ${last === undefined ? 'closed no round' : `round ${last.round} was its last, not the final one`}`]
  return []
}

function figures (record: NodeRecord): NodeFigures {
  const { sent, received } = traffic(record)
  return {
    node: record.node,
    peer: record.started?.peer ?? '',
    backend: backendOf(record),
    rssBytes: record.rss === 0 ? null : record.rss,
    loopLagP99Ms: finite(record.lag),
    loopBusyP99Ms: finite(record.busy),
    liveTensors: record.tensors === undefined ? null : { first: record.tensors.first, last: record.tensors.last, max: record.tensors.max },
    bytesSent: sent,
    bytesReceived: received
  }
}

/** What this node computed on; empty for one that never started. */
function backendOf ({ started, computing }: NodeRecord): string { return computing?.backend ?? started?.backend ?? '' }

function traffic (record: NodeRecord): { sent: number, received: number } {
  const all = [...record.traffic.values()]
  return { sent: sum(all.map(each => each.sent)), received: sum(all.map(each => each.received)) }
}

function tasksOf (report: ClientReport): SummaryTask[] {
  return report.tasks.map(task => {
    const value = (candidate: string): number | null => finite(task.scores[candidate]?.value)
    const [local, served, positives] = [value('local'), value('served'), positivesOf(task)]
    const bestLocal = task.scores.bestLocal === undefined ? local : value('bestLocal')
    const ranked = bestLocal !== null && served !== null && (positives === null || positives >= FEWEST_POSITIVES)
    return {
      id: task.id,
      client: report.client,
      metric: task.metric,
      higherIsBetter: task.higherIsBetter,
      local,
      federated: value('federated'),
      ensemble: value('ensemble'),
      served,
      ...task.scores.twoLocals === undefined ? {} : { twoLocals: value('twoLocals') },
      ...task.scores.simple === undefined ? {} : { simple: value('simple') },
      bestLocal,
      support: task.support,
      positives,
      gain: ranked ? (task.higherIsBetter ? served - bestLocal : bestLocal - served) : null,
      servedBy: report.served,
      reason: report.reason,
      ...task.scopes === undefined ? {} : { scopes: scopesOf(task.scopes) },
      ...task.scores.committee === undefined ? {} : { traded: { ownEnsemble: value('ownEnsemble'), bestSingle: value('bestSingle'), wholeBench: value('wholeBench') } }
    }
  })
}

/** Two classes: the rarer one. A mean over classes hangs on its smallest class, other metrics on all rows. */
function positivesOf (task: TaskReport): number | null {
  const classes: Scores['classes'] = task.scores.served?.classes ?? task.scores.local?.classes
  if (classes === undefined || classes.length === 0) return null
  const supports = classes.map(({ support }) => support)
  if (supports.length === 2) return Math.min(...supports)
  const overClasses = ['macroF1', 'auroc', 'meanIoU'].includes(task.metric)
  return overClasses ? Math.min(...supports.filter(support => support > 0)) : task.support
}

function roundOf (node: string, report: RoundReport, name: (text: string) => string): SummaryRound {
  const stepped = report.steps > 0
  return {
    ...report,
    host: node,
    contributors: report.contributors.map(name),
    missing: report.missing.map(name),
    merged: report.merged.map(name),
    mergeReason: name(report.mergeReason),
    meanCosine: report.pairs > 0 ? finite(report.meanCosine) : null,
    minCosine: report.pairs > 0 ? finite(report.minCosine) : null,
    removedShare: stepped ? finite(report.removedShare) : null,
    minDirectionCosine: stepped ? finite(report.minDirectionCosine) : null,
    minUpdateCosine: stepped ? finite(report.minUpdateCosine) : null
  }
}

function meansOf (tasks: readonly SummaryTask[]): Record<string, Means> {
  const means: Record<string, Means> = {}
  for (const kind of new Set(tasks.map(task => task.metric))) {
    const ranked = tasks.filter(task => task.metric === kind && task.higherIsBetter && task.gain !== null)
    if (ranked.length === 0) continue
    const of = (key: 'local' | 'federated' | 'ensemble' | 'served' | 'twoLocals' | 'simple' | 'bestLocal' | 'gain'): number | null =>
      ranked.every(task => task[key] != null) ? meanOf(ranked.map(task => task[key] as number)) : null
    const [twoLocals, simple] = [of('twoLocals'), of('simple')]
    means[kind] = {
      tasks: ranked.length,
      local: of('local'),
      federated: of('federated'),
      ensemble: of('ensemble'),
      served: of('served'),
      ...twoLocals === null ? {} : { twoLocals },
      ...simple === null ? {} : { simple },
      bestLocal: of('bestLocal'),
      gain: of('gain')
    }
  }
  return means
}
