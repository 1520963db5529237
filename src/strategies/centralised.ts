/**
 * Centralised: one model on the rows of all sites together, a head per task, and every step as many rows as all sites
 * of the other strategies take in one. It breaks what a consortium exists for, so it runs in the bench alone: what
 * could be reached if rows might travel.
 */
import type { Strategy } from './strategy.ts'

export const centralised: Strategy = {
  name: 'centralised',
  source: 'yardstick: the rows of all sites in one place',
  kind: 'alone',
  pooled: true,
  projection: {},
  merge: {}
}
