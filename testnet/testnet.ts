/** A whole consortium on this machine, from plan to summary. */
import { ProcessRunner } from './runners/process.ts'
import { InvalidParametersError } from '../src/errors.ts'
import { SummaryBuilder } from './summary.ts'
import { planTestnet } from './plan.ts'
import { runInProcess } from './runners/in-process.ts'
import { runPeersInProcess } from './runners/in-process-peers.ts'
import type { NodeEvent } from '../node/events.ts'
import type { Summary } from './summary.ts'
import type { TestnetOptions, TestnetPlan } from './plan.ts'

/**
 * @param emit - hears every event of every node
 * @throws {InvalidParametersError | DataError | ResourceError} what keeps the testnet from running; all processes are gone then
 */
export async function runTestnet (options: TestnetOptions, emit: (event: NodeEvent) => void, signal: AbortSignal): Promise<Summary> {
  const plan = await planTestnet(options)
  const startedAt = Date.now()
  const builder = new SummaryBuilder()
  const tell = (event: NodeEvent): void => {
    builder.add(event)
    emit(event)
  }
  if (options.runner === 'in-process') {
    for (const [flag, value] of Object.entries({ '--kill': options.kill, '--port': options.port, '--memory': options.memoryBytes, home: options.home })) {
      if (value !== undefined) throw new InvalidParametersError(`${flag} needs nodes that are processes`, { next: 'take --runner process' })
    }
    await (plan.charter.bench === undefined ? runInProcess : runPeersInProcess)(plan, tell)
  } else {
    const kill = options.kill === undefined ? undefined : parseKill(options.kill, plan)
    const runner: ProcessRunner = new ProcessRunner(plan, event => {
      tell(event)
      if (kill !== undefined && roundOf(event) === kill.round) kill.now(runner)
    })
    try {
      await runner.run(signal)
    } finally {
      await runner.stop()
    }
  }
  return builder.build({
    seed: options.seed,
    data: plan.dataset.name,
    strategy: plan.strategy,
    merge: plan.charter.merge.mode,
    runner: options.runner,
    startedAt,
    consortium: plan.charter.name,
    charter: plan.charter,
    nodes: [...plan.hosts, ...plan.clients].map(node => node.name)
  })
}

/** Which round an event closes; where models are traded, which version somebody offers. */
function roundOf (event: NodeEvent): number | undefined {
  return event.type === 'round' ? event.report.round : event.type === 'card:published' ? event.version : undefined
}

interface Kill {
  readonly round: number
  readonly now: (runner: ProcessRunner) => void
}

/** 'camera-1@3+5': SIGKILL when a host closes round 3, or somebody offers version 3 of a model, start again five seconds later. Without '+', never. */
function parseKill (text: string, plan: TestnetPlan): Kill {
  const match = /^(.+)@(\d+)(?:\+(\d+))?$/.exec(text)
  const names = [...plan.hosts, ...plan.clients].map(node => node.name)
  if (match === null || !names.includes(match[1] as string)) throw new InvalidParametersError(`--kill '${text}' is not NAME@ROUND or NAME@ROUND+SECONDS`, { next: `names: ${names.join(', ')}` })
  const name = match[1] as string
  let done = false
  return {
    round: Number(match[2]),
    now: runner => {
      if (done) return
      done = true
      runner.kill(name, match[3] === undefined ? 'gone' : 'returns')
      if (match[3] !== undefined) setTimeout(() => { void runner.restart(name) }, Number(match[3]) * 1000)
    }
  }
}
