/** Settings of a charter as flags give them. */
import { InvalidParametersError } from '../src/errors.ts'

/** 'training.batch=16' and 'model.width=32': values are JSON where they parse as JSON, text otherwise. */
export function readSettings (pairs: readonly string[]): { model: Record<string, unknown>, training: Record<string, unknown> } {
  const settings: { model: Record<string, unknown>, training: Record<string, unknown> } = { model: {}, training: {} }
  for (const pair of pairs) {
    const match = /^(model|training)\.([a-zA-Z0-9]+)=(.+)$/.exec(pair)
    if (match === null) throw new InvalidParametersError(`--set '${pair}' is not model.KEY=VALUE or training.KEY=VALUE`)
    const [, section, key, value] = match as unknown as [string, 'model' | 'training', string, string]
    settings[section][key] = parseValue(value)
  }
  return settings
}

function parseValue (value: string): unknown {
  try {
    return JSON.parse(value)
  } catch {
    return value
  }
}
