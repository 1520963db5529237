/**
 * One label per pixel. Loss: cross-entropy, mean over the labelled pixels of a picture, then over pictures.
 * Mean IoU: over the classes that occur among the labels or the predictions of all rows at hand.
 */
import { labelled } from './labelled.ts'
import type { Task, TaskSpec } from './task.ts'

export function denseClasses (spec: TaskSpec): Task {
  return labelled(spec, ({ table }) => ({ meanIoU: table.meanIoU, pixelAccuracy: table.accuracy }))
}
