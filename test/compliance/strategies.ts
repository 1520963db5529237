/**
 * What every strategy must do, whatever it trains: the same seed gives the same numbers in whatever order clients come and
 * answer; a run that was interrupted ends as if it had not been; sites leave and come back without harm to the others; what
 * is reported as sent was sent; one site alone is trained as if there were no host; what is not finite is refused.
 *
 * `strategyCompliance` registers the tests of one strategy. One that does not fit the runner used here, whose host and
 * clients exchange other frames, or for which a statement needs other words, says so in its hooks.
 */
import test from 'ava'
import { LEVEL, SIDE, clientData } from '../helpers/synthetic.ts'
import { HostTrainer } from '../../src/training/host-trainer.ts'
import { LocalTrainer } from '../../src/training/local-trainer.ts'
import { close } from '../helpers/tensors.ts'
import { makeClient, smallCharter } from '../helpers/federation.ts'
import { runInHalves } from '../helpers/halves.ts'
import { runScenario } from '../helpers/scenario.ts'
import { settingsOf } from '../../src/strategies/index.ts'
import type { Backend } from '../../src/backend/backend.ts'
import type { Charter } from '../../src/federation/charter.ts'
import type { Outcome, Runner, Scenario, Upload } from '../helpers/scenario.ts'
import type { Strategy } from '../../src/strategies/index.ts'

export interface StrategyHooks {
  /** Runs a consortium through a scenario. Default: one BackboneHost, SplitClients, channels in memory. */
  readonly run?: Runner
  /** A run cut in two by saving and loading. Default: of the same roles. */
  readonly runInHalves?: typeof runInHalves
  /** Settings without which one site's model is not that of plain descent, such as pulls; false: no setting makes it so. */
  readonly plain?: Readonly<Record<string, unknown>> | false
  /** Rounds and steps, four steps of the clock in all. Default: four rounds of two local steps where models are whole, else two of two. */
  readonly clock?: Readonly<Record<string, number>>
  /** Nothing is drawn by chance: no start values, no batches. */
  readonly seedless?: true
  /** Options of its method that suit three sites. */
  readonly method?: Readonly<Record<string, unknown>>
}

const TASKS = [LEVEL, SIDE]
/** Where a run is cut: at a round's end, as checkpoints are. */
const CUT = 2
const AWAY = { client: 'ben', from: 1, to: 3 }
/** Different numbers of rows, and one site without one of the tasks. */
const SITES = [
  clientData({ id: 'ada', tasks: TASKS }, { rows: [12, 6, 6] }),
  clientData({ id: 'ben', tasks: TASKS }, { rows: [24, 6, 6] }),
  clientData({ id: 'cyd', tasks: [LEVEL] }, { rows: [18, 6, 6] })
]
const [ADA, BEN, CYD] = SITES as [typeof SITES[number], typeof SITES[number], typeof SITES[number]]
/** Of the largest number: where the host computes a part of the model apart, sums come in another order. */
const TOLERANCE = 1e-4

/** Registers the tests of one strategy. */
export function strategyCompliance (strategy: Strategy, backend: Backend, hooks: StrategyHooks = {}): void {
  const { run = runScenario, runInHalves: inHalves = runInHalves, plain = {} } = hooks
  const { name, kind } = strategy
  const { clock = kind === 'whole' ? { rounds: 4, stepsPerRound: 1, localSteps: 2 } : { rounds: 2, stepsPerRound: 2 } } = hooks
  const charterOf = (changes: { training?: object, projection?: Partial<Charter['projection']> } = {}): Charter => {
    const own = { ...hooks.method === undefined ? {} : { method: hooks.method }, training: { ...clock, batch: 6, warmup: 2, ...changes.training }, ...changes.projection === undefined ? {} : { projection: changes.projection } }
    return smallCharter(TASKS, { clock: { quorum: SITES.length, stepDeadlineMs: 60_000 }, ...settingsOf(strategy, {}, own) })
  }
  const charter = charterOf()
  const scenario = async (init: Partial<Scenario> = {}): Promise<Outcome> => await run(backend, charter, { sites: SITES, ...init })
  /** A run that several tests look at. */
  const once = (init: Partial<Scenario>): (() => Promise<Outcome>) => {
    let outcome: Promise<Outcome> | undefined
    return async () => await (outcome ??= scenario(init))
  }
  const [whole, withoutBen, away] = [once({}), once({ leaves: { client: 'ben', at: CUT } }), once({ away: AWAY })]

  test.serial(`${name}: the same seed gives the same weights and reports, another seed ${hooks.seedless === true ? 'too' : 'others'}; nothing is left behind`, async t => {
    const before = backend.liveTensors()
    const [one, two] = [await whole(), await scenario()]
    t.deepEqual(two.fingerprints, one.fingerprints)
    t.deepEqual(two.reports, one.reports)
    t.deepEqual(Object.keys(one.fingerprints).sort(), ['ada', 'ben', 'cyd', 'host'])
    const other = await run(backend, { ...charter, seed: charter.seed + 1 }, { sites: SITES })
    for (const site of ['ada', 'ben', 'cyd']) t.is(other.fingerprints[site] === one.fingerprints[site], hooks.seedless === true, site)
    t.is(backend.liveTensors(), before)
  })

  test.serial(`${name}: everybody takes part in every step, and every score is a number`, async t => {
    const { steps, rounds, reports } = await whole()
    t.deepEqual(steps, new Array<string[]>(4).fill(['ada', 'ben', 'cyd']))
    t.deepEqual(rounds.map(({ report: { missing } }) => missing), rounds.map(() => []))
    t.is(reports.length, SITES.length)
    expectFinite(t, await whole())
  })

  test.serial(`${name}: in whatever order clients attach and answer, the weights are the same`, async t => {
    const { fingerprints } = await whole()
    t.deepEqual((await scenario({ sites: [CYD, ADA, BEN] })).fingerprints, fingerprints)
    t.deepEqual((await scenario({ answers: ['cyd', 'ben', 'ada'] })).fingerprints, fingerprints)
  })

  test.serial(`${name}: saved and loaded in the middle, a run ends as if nothing had happened`, async t => {
    t.deepEqual(await inHalves(backend, charter, SITES, CUT, { baseline: false }), (await whole()).fingerprints)
  })

  test.serial(`${name}: a site that leaves is named, and the others go on as a consortium of two`, async t => {
    const left = await withoutBen()
    t.deepEqual(left.steps, [['ada', 'ben', 'cyd'], ['ada', 'ben', 'cyd'], ['ada', 'cyd'], ['ada', 'cyd']])
    t.regex(left.rounds.flatMap(({ report: { missing } }) => missing).join(), /^ben: left at step [12]: ./)
    t.deepEqual(left.rounds.at(-1)?.report.contributors, ['ada', 'cyd'])
    const two = await inHalves(backend, charter, SITES, CUT, { then: [ADA, CYD], baseline: false })
    for (const who of ['ada', 'cyd', 'host']) t.is(left.fingerprints[who], two[who], who)
    expectFinite(t, left)
  })

  test.serial(`${name}: a site that never sends anything changes only the weights of the others`, async t => {
    const [absent, two] = [await scenario({ leaves: { client: 'ben', at: 0 } }), await scenario({ sites: [ADA, CYD] })]
    for (const who of ['ada', 'cyd', 'host']) t.is(absent.fingerprints[who], two.fingerprints[who], who)
    const withBen = (await whole()).fingerprints
    t.true(['ada', 'cyd', 'host'].some(who => absent.fingerprints[who] !== withBen[who]))
  })

  test.serial(`${name}: a site that was away for two steps takes part again, the same way every time`, async t => {
    const [one, two] = [await away(), await scenario({ away: AWAY })]
    t.deepEqual(one.steps, [['ada', 'ben', 'cyd'], ['ada', 'cyd'], ['ada', 'cyd'], ['ada', 'ben', 'cyd']])
    t.deepEqual(two.fingerprints, one.fingerprints)
    t.is(one.reports.length, SITES.length)
    expectFinite(t, one)
  })

  test.serial(`${name}: the bytes reported are those of the frames that were sent`, async t => {
    for (const { traffic, hostBytes, rounds } of [await whole(), await away()]) {
      for (const [client, { said, sent }] of Object.entries(traffic)) t.deepEqual(said, sent, client)
      const total = Object.values(traffic).reduce((sum, { sent }) => ({ up: sum.up + sent.up, down: sum.down + sent.down }), { up: 0, down: 0 })
      t.deepEqual(hostBytes, total)
      let [up, down] = [0, 0]
      for (const { report, sent } of rounds) {
        t.true(report.bytesUp > 0 && report.bytesDown >= 0)
        t.deepEqual({ up: up += report.bytesUp, down: down += report.bytesDown }, sent, `round ${report.round}`)
      }
    }
  })

  if (kind === 'whole') {
    test.serial(`${name}: one site alone is trained as if there were no host but its arithmetic`, async t => {
      const unmoved = charterOf({ training: { serverMomentum: 0 } }) // momentum is the host's own doing
      const { fingerprints } = await run(backend, unmoved, { sites: [ADA] })
      const { trainer } = makeClient(backend, unmoved, ADA, {}, false)
      const host = new HostTrainer(backend, unmoved)
      if (charter.method !== undefined) await trainer.receive(0, [])
      for (let step = 0; step < 4; step++) {
        const { changes } = await trainer.contribute(step)
        if (charter.method !== undefined) {
          host.contribute(ADA.id, step, ADA.train.count, changes)
          host.applyMean(step, [ADA.id])
          await trainer.receive(step + 1, host.told(ADA.id, step + 1))
        } else if (charter.training.attention === undefined) trainer.advance(changes)
        else trainer.aim(changes)
      }
      if (charter.method !== undefined) await trainer.settle()
      t.is(fingerprints.ada, trainer.fingerprint())
      trainer.dispose()
      host.dispose()
    })
  }

  if (plain !== false) {
    test.serial(`${name}: one site alone, with nothing that pulls, is central training`, async t => {
      // One gradient has no conflicts, but AdamW's step may lean away from it, which `strict` would mend.
      const alone = charterOf({ training: { ...plain, lrTrunk: 4e-3, lrClient: 4e-3, lrLocal: 4e-3 }, projection: { strict: 'off', balance: 'none' } })
      const { states } = await run(backend, alone, { sites: [ADA] })
      const { model, training, seed } = alone
      const local = new LocalTrainer(backend, ADA, model, training, seed)
      for (let step = 0; step < 4 * (training.localSteps ?? 1); step++) await local.step(step)
      for (const { name, parameters } of local.units) close(t, name, states.ada?.[name] ?? states.host?.[name] ?? [], parameters, TOLERANCE)
      local.dispose()
    })
  }

  const uploads: readonly Upload[] = kind === 'whole' ? ['contribute'] : ['forward', 'backward', ...charter.shared.length > 0 ? ['finish'] as const : []]
  for (const upload of uploads) {
    test.serial(`${name}: a site that sends NaN (${upload}) is let go, and its numbers reach nobody`, async t => {
      const lied = await scenario({ lies: { client: 'ben', at: CUT, upload } })
      t.regex(lied.ended.ben ?? '', /not finite/)
      t.deepEqual(lied.steps.slice(CUT), [['ada', 'cyd'], ['ada', 'cyd']])
      const left = await withoutBen()
      for (const who of ['ada', 'cyd', 'host']) t.is(lied.fingerprints[who], left.fingerprints[who], who)
      expectFinite(t, lied)
    })
  }
}

function expectFinite (t: { true: (value: boolean, message?: string) => unknown }, { reports, states }: Outcome): void {
  for (const { client, tasks } of reports) {
    for (const { id, scores } of tasks) t.true(Number.isFinite(scores.federated?.all.loss), `${client} ${id}`)
  }
  for (const [who, state] of Object.entries(states)) for (const [name, values] of Object.entries(state)) t.true(values.every(Number.isFinite), `${who} ${name}`)
}
