/** Whole testnets, in one process or as daemons over TCP, and whether two of them are the same computation. */
import { runTestnet } from '../../testnet/testnet.ts'
import type { ExecutionContext } from 'ava'
import type { NodeEvent } from '../../node/events.ts'
import type { Summary } from '../../testnet/summary.ts'
import type { TestnetOptions } from '../../testnet/plan.ts'

export type TestnetInit = Omit<TestnetOptions, 'runner'>

export interface TestnetRun { readonly summary: Summary, readonly events: readonly NodeEvent[] }

/** On a busy machine daemons take a minute to start, find each other and train for a few steps. */
const LIMIT_MS = 200_000

export async function runBy (runner: TestnetOptions['runner'], options: TestnetInit): Promise<TestnetRun> {
  const events: NodeEvent[] = []
  const summary = await runTestnet({ ...options, runner }, event => { events.push(event) }, AbortSignal.timeout(LIMIT_MS))
  return { summary, events }
}

/** By site and task. A score that there is not is null. */
export type Figures = ReadonlyArray<readonly [name: string, values: ReadonlyArray<number | null>]>

export function figuresOf ({ tasks }: Summary, of: (task: Summary['tasks'][number]) => ReadonlyArray<number | null>): Figures {
  return tasks.map(task => [`${task.client} ${task.id}`, of(task)] as const).sort(([a], [b]) => a < b ? -1 : 1)
}

/** What every site of a federated run is told of its models. */
export function scoresOf (summary: Summary): Figures {
  return figuresOf(summary, ({ local, federated, ensemble, served }) => [local, federated, ensemble, served])
}

/** Sums of floats may be taken in another order: figures agree to within a millionth. */
export function expectSame (t: ExecutionContext, simulated: Figures, networked: Figures): void {
  t.true(simulated.length > 0)
  t.deepEqual(networked.map(([name]) => name), simulated.map(([name]) => name))
  for (const [i, [name, values]] of simulated.entries()) {
    values.forEach((value, j) => {
      const other = networked[i]?.[1][j]
      t.true(value === null || other == null ? value === other : Math.abs(value - other) <= 1e-6, `${name}: ${value} simulated, ${other} over TCP`)
    })
  }
}
