/** What travels beside changes of the units: every step a site's activity map, with the last one what it knows of its classes. */
import { buildTrunk } from '../../models/trunk.ts'
import { readsRows } from './body.ts'
import { totalSteps } from '../../training/spec.ts'
import { vector } from '../../training/saved-state.ts'
import { waysOut } from './activity.ts'
import type { Charter } from '../../federation/charter.ts'
import type { ClassMeans } from './classifier.ts'
import type { NamedTensor } from '../../tensor/tensor.ts'

export const MAP = 'activity'
const MEANS = 'class-means/'
const COUNTS = 'class-counts/'

/** Hidden units of all layers. */
export function mapSize ({ model }: Charter): number { return waysOut(buildTrunk(model.backbone)).reduce((sum, { shape: [units] }) => sum + (units as number), 0) }

export function classSizes ({ model, tasks }: Charter): ReadonlyMap<string, number> {
  return new Map(tasks.filter(readsRows).flatMap(({ id, channels }) => [[`${MEANS}${id}`, channels * model.backbone.width], [`${COUNTS}${id}`, channels]]))
}

export function isLastStep ({ training }: Charter, step: number): boolean { return step >= totalSteps(training) - 1 }

export function meansMessage (task: string, { means, counts }: ClassMeans): NamedTensor[] {
  return [vector(`${MEANS}${task}`, means), vector(`${COUNTS}${task}`, counts)]
}

/** What was said of a task, or undefined where that is nothing. */
export function readMeans (find: (name: string) => Float32Array | undefined, task: string): ClassMeans | undefined {
  const [means, counts] = [find(`${MEANS}${task}`), find(`${COUNTS}${task}`)]
  return means === undefined || counts === undefined ? undefined : { means, counts }
}
