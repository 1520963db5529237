/** Settings of a charter as flags give them. */
import { InvalidParametersError } from '../src/errors.ts'
import { RUNGS, isRungName } from '../src/backend/ladder.ts'
import { ruleNames } from '../src/projection/index.ts'
import type { RungName } from '../src/backend/ladder.ts'

const SECTIONS = ['model', 'training', 'projection', 'merge', 'grouping', 'method', 'bench'] as const
type Settings = Record<typeof SECTIONS[number], Record<string, unknown>>

/** 'training.batch=16', 'model.width=32', 'projection.options.c=0.4': values are JSON where they parse as JSON, text otherwise. */
export function readSettings (pairs: readonly string[]): Settings {
  const settings: Settings = { model: {}, training: {}, projection: {}, merge: {}, grouping: {}, method: {}, bench: {} }
  for (const pair of pairs) {
    const match = /^(model|training|projection|merge|grouping|method|bench)\.(options\.)?([a-zA-Z0-9]+)=(.+)$/.exec(pair)
    if (match === null) throw new InvalidParametersError(`--set '${pair}' is not SECTION.KEY=VALUE`, { next: `sections: ${SECTIONS.join(', ')}` })
    const [, name, options, key, value] = match as unknown as [string, keyof Settings, string | undefined, string, string]
    const section = settings[name]
    if (options === undefined) section[key] = parseValue(value)
    else section.options = { ...section.options as object | undefined, [key]: parseValue(value) }
  }
  return settings
}

/** 'cagrad:c=0.4,rescale=2', over what --set says of the section. */
export function withRule (section: Readonly<Record<string, unknown>>, flag: string, text: string | undefined): Readonly<Record<string, unknown>> {
  if (text === undefined) return section
  const [, rule, pairs] = /^([^:]+)(?::(.+))?$/.exec(text) ?? []
  if (rule === undefined) throw new InvalidParametersError(`${flag} '${text}' is not NAME or NAME:KEY=VALUE,..`, { next: `names: ${ruleNames.join(', ')}` })
  if (pairs === undefined) return { ...section, rule }
  const options = Object.fromEntries(pairs.split(',').map(pair => {
    const [, key, value] = /^([a-zA-Z0-9]+)=(.+)$/.exec(pair) ?? []
    if (key === undefined || value === undefined) throw new InvalidParametersError(`${flag}: '${pair}' is not KEY=VALUE`, { next: `write it as ${rule}:key=value,key=value` })
    return [key, parseValue(value)]
  }))
  return { ...section, rule, options: { ...section.options as object | undefined, ...options } }
}

function parseValue (value: string): unknown {
  try {
    return JSON.parse(value)
  } catch {
    return value
  }
}

/** @throws {InvalidParametersError} no rung of that name */
export function readRung (name: string | undefined): { backend?: RungName } {
  if (name === undefined) return {}
  if (!isRungName(name)) throw new InvalidParametersError(`no compute rung '${name}'`, { next: `use one of ${RUNGS.join(', ')}` })
  return { backend: name }
}
