/**
 * FlexMod: a site shares its local steps among the encoders of its blocks of columns (modalities) by what each has to learn and
 * gives (./allocation.ts, whose formulas are this project's). Models are averaged as in FedAvg; what is told besides are the class
 * means of every encoder's features over all sites' rows.
 */
import { ALLOCATIONS } from './allocation.ts'
import { FlexmodSite } from './site.ts'
import { InvalidParametersError } from '../../errors.ts'
import { expectOneInput } from '../../models/inputs.ts'
import { blockColumns, blockUnits, parseBlocks } from '../../models/blocks.ts'
import { checkOptions } from '../../options.ts'
import { prototypeName, prototypeTasks, prototypesGraph } from './layout.ts'
import { localStepsOf } from '../../training/spec.ts'
import type { AllocationName } from './allocation.ts'
import type { BlockSpec } from '../../models/blocks.ts'
import type { Method } from '../method.ts'

export interface FlexmodOptions {
  readonly blocks: BlockSpec
  readonly allocation: AllocationName
}

export const flexmod: Method<FlexmodOptions> = {
  name: 'flexmod',
  options: raw => {
    const { blocks = 2, ...rest } = raw
    checkOptions('method', 'flexmod', rest, { allocation: Object.keys(ALLOCATIONS) })
    return { allocation: 'shapley', ...rest, blocks: parseBlocks(blocks) }
  },
  exchange: (charter, { blocks }) => {
    expectOneInput(charter, 'flexmod')
    const columns = blockColumns(blocks, charter.input)
    const { model: { backbone }, training, tasks } = charter
    if (localStepsOf(training) < columns.length) {
      throw new InvalidParametersError(`training.localSteps ${localStepsOf(training)} does not give each of ${columns.length} blocks a step`, { next: `set training.localSteps to ${columns.length} or more` })
    }
    return {
      units: new Map([
        ...blockUnits(columns, [...columns.keys()], tasks, backbone),
        ...columns.flatMap((_, v) => prototypeTasks({ tasks }).map(task => [prototypeName(v, task), prototypesGraph(backbone.width, task)] as const))
      ])
    }
  },
  site: (init, options) => new FlexmodSite(init, options)
}
