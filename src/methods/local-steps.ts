/** The local half of methods that train a site's one whole model. */
import { localStepsOf } from '../training/spec.ts'
import { pulled } from '../training/local-rules.ts'
import type { Batch } from '../training/batches.ts'
import type { SiteInit } from './method.ts'
import type { TaskLoss } from '../backbone/frames.ts'
import type { WholeModel, WholePass } from '../training/whole-model.ts'

export interface LocalStepsInit extends Pick<SiteInit, 'charter' | 'batch' | 'protect'> {
  readonly model: WholeModel
  /** Of the units that travel, by name: where they are pulled to. All others stay at the site. */
  readonly anchors: ReadonlyMap<string, Float32Array>
  /** Weight of the pull. */
  readonly mu: number
  /** Default: that of the model. */
  readonly pass?: (batch: Batch) => Promise<WholePass>
}

/**
 *     w <- w - eta (grad F(w) + mu (w - anchor))       training.localSteps times, from number step * E on
 *
 * What stays at the site is declared private as it is after every step. @returns losses of all steps
 */
export async function localSteps (step: number, { charter, batch, protect, model, anchors, mu, pass = async rows => await model.pass(rows) }: LocalStepsInit): Promise<readonly TaskLoss[]> {
  const steps = localStepsOf(charter.training)
  const losses: TaskLoss[] = []
  for (let local = step * steps; local < (step + 1) * steps; local++) {
    const { pieces, gradients, losses: found } = await pass(batch(local))
    protect('the pieces of a batch', pieces.data)
    losses.push(...found)
    for (const unit of model.units) {
      const gradient = gradients.get(unit.name) as Float32Array
      const anchor = anchors.get(unit.name)
      unit.learn(anchor === undefined ? gradient : pulled(gradient, unit.parameters, anchor, mu), local)
      if (anchor === undefined) protect(`the weights of ${unit.name}`, unit.parameters)
    }
  }
  return losses
}
