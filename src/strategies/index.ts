/** The strategies by name: what `--strategy` may say. One file each; a new one is one file and one line here. */
import { InvalidParametersError } from '../errors.ts'
import { centralised } from './centralised.ts'
import { cofed } from './cofed.ts'
import { demlearn } from './demlearn.ts'
import { ditto } from './ditto.ts'
import { fedAdapter } from './fed-adapter.ts'
import { fedPrompt } from './fed-prompt.ts'
import { fedamp } from './fedamp.ts'
import { fedavg } from './fedavg.ts'
import { fedbone } from './fedbone.ts'
import { fedit } from './fedit.ts'
import { fedlinear } from './fedlinear.ts'
import { fedeq } from './fedeq.ts'
import { fedln } from './fedln.ts'
import { fedpae } from './fedpae.ts'
import { fedper } from './fedper.ts'
import { fedprox } from './fedprox.ts'
import { fedrbn } from './fedrbn.ts'
import { fesem } from './fesem.ts'
import { ffaLora } from './ffa-lora.ts'
import { flora } from './flora.ts'
import { flexmod } from './flexmod.ts'
import { hyfem } from './hyfem.ts'
import { local } from './local.ts'
import { mas } from './mas.ts'
import { mtsl } from './mtsl.ts'
import { mupfl } from './mupfl.ts'
import { pfedme } from './pfedme.ts'
import { splitMix } from './split-mix.ts'
import { splitMixRobust } from './split-mix-robust.ts'
import { splitfed } from './splitfed.ts'
import { tap } from './tap.ts'
import type { Strategy } from './strategy.ts'

export { settingsOf } from './strategy.ts'
export type { Strategy } from './strategy.ts'

export const strategies: readonly Strategy[] = [
  fedbone,
  mtsl,
  mas,
  splitfed,
  fedavg,
  fedprox,
  fedper,
  fedln,
  ditto,
  pfedme,
  fedamp,
  fesem,
  demlearn,
  mupfl,
  splitMix,
  splitMixRobust,
  fedrbn,
  tap,
  cofed,
  fedeq,
  flexmod,
  hyfem,
  fedit,
  ffaLora,
  flora,
  fedAdapter,
  fedPrompt,
  fedlinear,
  fedpae,
  local,
  centralised
]

/** @throws {InvalidParametersError} no strategy of this name */
export function findStrategy (name: string): Strategy {
  const strategy = strategies.find(candidate => candidate.name === name)
  if (strategy === undefined) throw new InvalidParametersError(`no strategy '${name}'`, { next: `use one of ${strategies.map(({ name }) => name).join(', ')}` })
  return strategy
}

/** A strategy by which sites can train together. @throws {InvalidParametersError} no such strategy, or a yardstick */
export function findFederated (name: string): Strategy {
  const strategy = findStrategy(name)
  if (strategy.kind === 'alone') {
    throw new InvalidParametersError(`'${name}' is a yardstick, not a way to train together`, { next: `use one of ${strategies.filter(({ kind }) => kind !== 'alone').map(({ name }) => name).join(', ')}; \`fmtl-node bench learning\` compares them with it` })
  }
  return strategy
}
