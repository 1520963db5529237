/** What FlexMod's hosts hold beside the model: of every block and task, sums of features per class and rows of each. */
import { GraphBuilder } from '../../graph/graph.ts'
import type { Charter } from '../../federation/charter.ts'
import type { Graph } from '../../graph/graph.ts'
import type { TaskSpec } from '../../tasks/task.ts'

/** Tasks whose classes have prototypes. */
export function prototypeTasks ({ tasks }: Pick<Charter, 'tasks'>): readonly TaskSpec[] { return tasks.filter(({ kind }) => kind === 'classes') }

export function prototypeName (block: number, { id }: TaskSpec): string { return `prototypes/${block}/${id}` }

/** Sums of features per class, then rows of each. */
export function prototypesGraph (width: number, { channels }: TaskSpec): Graph {
  const g = new GraphBuilder()
  g.output('prototypes', g.parameter('prototypes', [channels * (width + 1)], { value: 0 }))
  return g.build()
}
