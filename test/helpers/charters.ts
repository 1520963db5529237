/** What a test of a strategy begins with: the charter that a data set and a strategy make, and one host that trains by it. */
import { createCharter } from '../../src/federation/charter.ts'
import { findStrategy, settingsOf } from '../../src/strategies/index.ts'
import type { Charter, CharterOptions } from '../../src/federation/charter.ts'
import type { Dataset } from '../../src/data/dataset.ts'
import type { SimulationInit } from '../../src/federation/simulator.ts'

type Settings = Parameters<typeof settingsOf>[2]

/** Settings that are undefined are left out. */
export type OwnSettings = { readonly [key in keyof Settings]: Settings[key] | undefined }

export interface CharterInit extends OwnSettings {
  readonly seed: number
  /** Default: the data set's. */
  readonly name?: string
  readonly clock?: NonNullable<CharterOptions['clock']>
}

export type CharterData = Pick<Dataset, 'name' | 'input' | 'inputs' | 'tasks' | 'recipe'>

export function charterBy (strategy: string, { input, inputs, tasks, recipe, ...dataset }: CharterData, { seed, name = dataset.name, clock = {}, ...own }: CharterInit): Charter {
  const given = Object.fromEntries(Object.entries(own).filter(([, setting]) => setting !== undefined))
  return createCharter({ name, seed, input, ...inputs === undefined ? {} : { inputs }, tasks, clock, ...settingsOf(findStrategy(strategy), recipe, given) })
}

/** A data set that has nothing to say of models and training: a test's settings stand over the strategy's own defaults. */
export function withoutRecipe<T extends CharterData> (dataset: T): T { return { ...dataset, recipe: {} } }

/** All clients of a data set at one host, no local models to compare with. */
export function oneHost (init: Pick<SimulationInit, 'backend' | 'charter' | 'dataset'> & Partial<SimulationInit>): SimulationInit {
  return { hosts: ['host'], clients: init.dataset.clientIds, control: false, baseline: false, ...init }
}
