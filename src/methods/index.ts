/** Methods by name: what a charter's `method` section may say. One file or folder each; a new one is one line here. */
import { InvalidParametersError } from '../errors.ts'
import { cofed } from './cofed/cofed.ts'
import { fedeq } from './fedeq/fedeq.ts'
import { fedrbn } from './fedrbn.ts'
import { demlearn } from './demlearn/index.ts'
import { fesem } from './fesem.ts'
import { flexmod } from './flexmod/flexmod.ts'
import { hyfem } from './hyfem/hyfem.ts'
import { meanHost } from './mean-host.ts'
import { peft } from './peft/index.ts'
import { mupfl } from './mupfl/index.ts'
import { splitMix } from './split-mix/index.ts'
import { tap } from './tap/index.ts'
import { wholeOf } from './told.ts'
import { numbersOf } from '../graph/graph.ts'
import type { Charter } from '../federation/charter.ts'
import type { ExchangeSpec, HostInit, HostMethod, Method, MethodSpec } from './method.ts'

export type { HostMethod, Method, MethodSpec, Predictions, Seat, SiteInit, SiteMethod } from './method.ts'

export const methods = [
  cofed,
  demlearn,
  fedeq,
  fedrbn,
  fesem,
  flexmod,
  hyfem,
  mupfl,
  peft,
  splitMix,
  tap
] as unknown as readonly Method[]

/** A charter's method section with all defaults. @throws {InvalidParametersError} no such method, or an option that cannot be */
export function parseMethod (raw: Readonly<Record<string, unknown>>): MethodSpec {
  const { name, ...rest } = raw
  return { name: String(name), ...find(name).options(rest) }
}

/** @throws {InvalidParametersError} the charter names none */
export function methodOf ({ method }: Pick<Charter, 'method'>): { method: Method, options: object } {
  if (method === undefined) throw new InvalidParametersError('the charter has no method section')
  const { name, ...options } = method
  return { method: find(name), options }
}

/** @throws {InvalidParametersError} the charter's model does not fit the method */
export function exchangeOf (charter: Charter): Required<ExchangeSpec> {
  const { method, options } = methodOf(charter)
  const { units, up, down } = method.exchange(charter, options)
  return { units, up: up ?? new Map([...units].map(([name, { parameterCount }]) => [name, parameterCount])), down: down ?? wholeOf(units) }
}

export function hostOf (init: HostInit): HostMethod {
  const { method, options } = methodOf(init.charter)
  return method.host?.(init, options) ?? meanHost(init)
}

/** Numbers that one client sends and is told in a step of the clock. */
export function trafficOf (charter: Charter): { readonly up: number, readonly down: number } {
  const { method, options } = methodOf(charter)
  const { units, up } = exchangeOf(charter)
  return method.traffic?.(charter, options) ?? { up: [...up.values()].reduce((sum, count) => sum + count, 0), down: numbersOf(units) }
}

function find (name: unknown): Method {
  const found = methods.find(method => method.name === name)
  if (found === undefined) throw new InvalidParametersError(`no method '${String(name)}'`, { next: `set method.name to one of ${methods.map(({ name }) => name).join(', ')}` })
  return found
}
