/**
 * A strategy from outside: `--strategy ./mine.ts`. The file exports `strategy` and, if it brings a gradient rule of its own,
 * `rule` (docs/strategies.md). It is this operator's own code: read from the path that they name, never from a peer, of whom
 * only the hash in the charter is believed. What is hashed is what runs: it is read once, imported from the bytes that were
 * read, and may import nothing but `node:` modules and types, because a second file would be outside the hash.
 */
import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { registerHooks } from 'node:module'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { InvalidParametersError } from '../errors.ts'
import { expectLoaded, isOutside, said } from '../projection/outside.ts'
import { findFederated, findStrategy, strategies } from './index.ts'
import { ruleNames } from '../projection/index.ts'
import type { FmtlErrorInit } from '../errors.ts'
import type { Charter } from '../federation/charter.ts'
import type { LoadedRule, OutsideRule } from '../projection/outside.ts'
import type { Strategy } from './strategy.ts'

/** As it was read: what a compute worker gets, so that it runs the same bytes. */
export interface StrategyFile {
  /** As its operator gave it. */
  readonly path: string
  readonly source: string
  /** The first 16 hex digits of its SHA-256. */
  readonly hash: string
}

export interface OpenedStrategy {
  readonly strategy: Strategy
  /** Where it is from outside. */
  readonly file?: StrategyFile
  readonly rule?: LoadedRule
}

/** The longest rule of src/projection has 10 KB. */
const MAX_FILE_BYTES = 64 * 1024
/** A module that waits for something while it loads will go on waiting. */
const IMPORT_MS = 10_000
const FORMATS: Readonly<Record<string, string>> = { ts: 'module-typescript', js: 'module', mjs: 'module' }
const KINDS: ReadonlyArray<Strategy['kind']> = ['split', 'whole']
const [NEEDED, OPTIONAL] = [['name', 'source', 'kind', 'projection', 'merge'], ['model', 'training']]
const NAME = /^[a-z0-9][a-z0-9-]{0,31}$/
/** Settings are a few levels deep; what contains itself is deeper. */
const MAX_DEPTH = 8

/** Whether `--strategy` names a file: no strategy has a dot or a slash in its name. */
export function isStrategyFile (name: string): boolean { return /[./\\]/.test(name) }

/**
 * @param name - a strategy of ./index.ts, or the path of a file, relative to the working folder
 * @throws {InvalidParametersError} no such strategy; a file that cannot be read or is none
 */
export async function openStrategy (name: string): Promise<OpenedStrategy> {
  if (!isStrategyFile(name)) return { strategy: findFederated(name) }
  return await openFile(name)
}

/** The same for experiments, which have yardsticks too. @throws {InvalidParametersError} as openStrategy does */
export async function openExperiment (name: string): Promise<OpenedStrategy> {
  return isStrategyFile(name) ? await openFile(name) : { strategy: findStrategy(name) }
}

async function openFile (path: string): Promise<OpenedStrategy> {
  const file = await readStrategyFile(path)
  return { ...await loadStrategy(file), file }
}

/**
 * The file that a node under this charter must have for its gradient rule; undefined where the rule is one of ours.
 * @throws {InvalidParametersError} it has none, or another version
 */
export function ruleFile ({ projection }: Charter, { file, rule }: Partial<OpenedStrategy>): StrategyFile | undefined {
  if (!isOutside(projection.rule)) return undefined
  expectLoaded(projection.rule, rule)
  return file
}

/** @throws {InvalidParametersError} no such file, too large, or no text */
export async function readStrategyFile (path: string): Promise<StrategyFile> {
  if (FORMATS[endingOf(path)] === undefined) throw new InvalidParametersError(`${path}: a strategy file ends in .ts, .js or .mjs`, { next: `or name a strategy: ${strategies.map(({ name }) => name).join(', ')}` })
  const bytes = await readBounded(path)
  let source: string
  try {
    source = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new InvalidParametersError(`${path}: the strategy file is no UTF-8 text`, { cause })
  }
  return { path, source, hash: createHash('sha256').update(bytes).digest('hex').slice(0, 16) }
}

/** @throws {InvalidParametersError} what is wrong with the file, in one line */
export async function loadStrategy (file: StrategyFile): Promise<Pick<OpenedStrategy, 'strategy' | 'rule'>> {
  const { path } = file
  const exported = await importSource(file)
  const unknown = Object.keys(exported).filter(key => key !== 'strategy' && key !== 'rule')
  if (unknown.length > 0) throw wrong(path, `exports ${unknown.map(key => `'${key}'`).join(', ')}`, 'a strategy file exports strategy and, if it has a gradient rule of its own, rule')
  if (exported.strategy === undefined) throw wrong(path, 'does not export strategy', 'write `export const strategy = { name, source, kind, projection, merge }`, see docs/strategies.md')
  const strategy = readStrategy(path, exported.strategy)
  if (exported.rule === undefined) return { strategy }
  const rule = readRule(path, exported.rule)
  if (strategy.kind !== 'split') throw wrong(path, `has a rule and is of kind '${strategy.kind}'`, 'a rule is for gradients, which kind split alone has at a host')
  if (strategy.projection.rule !== rule.name) throw wrong(path, `strategy.projection.rule is ${shown(strategy.projection.rule)}, its rule is '${rule.name}'`, `write projection: { rule: '${rule.name}' }`)
  const id = `${rule.name}#${file.hash}`
  return { strategy: { ...strategy, projection: { ...strategy.projection, rule: id } }, rule: { id, file: path, rule } }
}

async function readBounded (path: string): Promise<Buffer> {
  let handle
  try {
    handle = await open(path, 'r')
    const stats = await handle.stat()
    if (!stats.isFile()) throw new InvalidParametersError(`${path}: the strategy is no file`)
    const bytes = Buffer.alloc(MAX_FILE_BYTES + 1)
    let size = 0
    for (let read = -1; read !== 0 && size < bytes.length; size += read) read = (await handle.read(bytes, size, bytes.length - size)).bytesRead
    if (size > MAX_FILE_BYTES) throw new InvalidParametersError(`${path}: the strategy file has ${Math.max(size, stats.size)} bytes, at most ${MAX_FILE_BYTES} are read`)
    return bytes.subarray(0, size)
  } catch (cause) {
    if (cause instanceof InvalidParametersError) throw cause
    throw new InvalidParametersError(`${path}: the strategy file cannot be read (${(cause as NodeJS.ErrnoException).code ?? 'unknown reason'})`, { cause, next: 'check the path; it is relative to the folder that the command runs in' })
  } finally {
    await handle?.close()
  }
}

/** Imports what was read, under an address of its own that ends in the hash: a changed file is another module. */
async function importSource ({ path, source, hash }: StrategyFile): Promise<Readonly<Record<string, unknown>>> {
  const url = `${pathToFileURL(resolve(path)).href}?sha256=${hash}`
  const hooks = registerHooks({
    resolve: (specifier, context, next) => {
      if (specifier === url) return { url, shortCircuit: true }
      if (context.parentURL === url && !specifier.startsWith('node:')) throw wrong(path, `imports '${specifier.slice(0, 80)}'`, 'keep everything in the one file, which the charter names by its hash; `import type` and node: modules are free')
      return next(specifier, context)
    },
    load: (at, context, next) => at === url ? { format: FORMATS[endingOf(path)] as string, source, shortCircuit: true } : next(at, context)
  })
  let late: NodeJS.Timeout | undefined
  try {
    return await Promise.race([
      import(url) as Promise<Readonly<Record<string, unknown>>>,
      new Promise<never>((_resolve, reject) => { late = setTimeout(() => { reject(wrong(path, `has not loaded after ${IMPORT_MS / 1000} s`, 'take the await at its top out')) }, IMPORT_MS) })
    ])
  } catch (cause) {
    if (cause instanceof InvalidParametersError) throw cause
    throw wrong(path, `cannot be loaded: ${said(cause)}`, undefined, { cause })
  } finally {
    clearTimeout(late)
    hooks.deregister()
  }
}

function readStrategy (path: string, value: unknown): Strategy {
  const strategy = settings(path, 'strategy', value)
  const known = [...NEEDED, ...OPTIONAL]
  const unknown = Object.keys(strategy).find(key => !known.includes(key))
  if (unknown !== undefined) throw wrong(path, `strategy.${unknown} is no setting`, `known: ${known.join(', ')}`)
  const missing = NEEDED.find(key => strategy[key] === undefined)
  if (missing !== undefined) throw wrong(path, `strategy.${missing} is missing`, `needed: ${NEEDED.join(', ')}`)
  const { name, source, kind } = strategy
  if (typeof name !== 'string' || !NAME.test(name)) throw wrong(path, `strategy.name cannot be ${shown(name)}`, 'take 1 to 32 small letters, digits and hyphens')
  if (strategies.some(ours => ours.name === name)) throw wrong(path, `strategy.name is '${name}', which is one of ours`, 'give it a name of its own')
  if (typeof source !== 'string' || source.length > 256) throw wrong(path, `strategy.source is ${shown(source)}`, 'write where it is from, in a text of at most 256 characters')
  if (!KINDS.includes(kind as Strategy['kind'])) throw wrong(path, `strategy.kind is ${shown(kind)}`, `use one of ${KINDS.join(', ')}`)
  for (const key of ['projection', 'merge', ...OPTIONAL]) if (strategy[key] !== undefined) settings(path, `strategy.${key}`, strategy[key])
  return strategy as unknown as Strategy
}

function readRule (path: string, value: unknown): OutsideRule {
  if (value === null || typeof value !== 'object') throw wrong(path, `rule is ${shown(value)}`, 'write `export const rule = { name, aggregate (gradients, context) { ... } }`')
  const unknown = Object.keys(value).find(key => key !== 'name' && key !== 'aggregate')
  if (unknown !== undefined) throw wrong(path, `rule.${unknown} is not known`, 'a rule has a name and aggregate')
  const { name, aggregate } = value as Partial<OutsideRule>
  if (typeof name !== 'string' || !NAME.test(name)) throw wrong(path, `rule.name cannot be ${shown(name)}`, 'take 1 to 32 small letters, digits and hyphens')
  if (ruleNames.includes(name)) throw wrong(path, `rule.name is '${name}', which is one of ours`, 'give it a name of its own')
  if (typeof aggregate !== 'function') throw wrong(path, `rule.aggregate is ${shown(aggregate)}`, 'write aggregate (gradients, context) { return update }')
  return value as OutsideRule
}

/** A copy of plain data: texts, numbers, yes or no, lists and objects, nothing with a life of its own. */
function settings (path: string, what: string, value: unknown, depth = 0): Record<string, unknown> {
  if (value === null || typeof value !== 'object' || Array.isArray(value) || ![Object.prototype, null].includes(Object.getPrototypeOf(value) as object | null)) throw wrong(path, `${what} is ${shown(value)}, not an object of settings`)
  return Object.fromEntries(Object.entries(value).filter(([, inner]) => inner !== undefined).map(([key, inner]) => {
    if (key === '__proto__') throw wrong(path, `${what}.__proto__ is no setting`)
    return [key, plain(path, `${what}.${key}`, inner, depth + 1)]
  }))
}

function plain (path: string, what: string, value: unknown, depth: number): unknown {
  if (depth > MAX_DEPTH) throw wrong(path, `${what} is more than ${MAX_DEPTH} levels deep`)
  if (Array.isArray(value)) return value.map((inner, i) => plain(path, `${what}[${i}]`, inner, depth + 1))
  if (value !== null && typeof value === 'object') return settings(path, what, value, depth)
  if (value === null || ['string', 'boolean'].includes(typeof value) || Number.isFinite(value)) return value
  throw wrong(path, `${what} is ${shown(value)}, not a text, a number, true or false`)
}

function shown (value: unknown): string {
  if (typeof value === 'string') return `'${value.slice(0, 40).replace(/\s+/g, ' ')}'`
  if (typeof value === 'function') return 'a function'
  return value !== null && typeof value === 'object' ? (Array.isArray(value) ? 'a list' : 'an object') : String(value)
}

function wrong (path: string, what: string, next?: string, init: FmtlErrorInit = {}): InvalidParametersError {
  return new InvalidParametersError(`${path}: ${what}`, { ...init, ...next === undefined ? {} : { next } })
}

function endingOf (path: string): string { return /\.([a-z]+)$/.exec(path)?.[1] ?? '' }
