/**
 * The settings of one node: flag > `FMTL_*` environment > YAML file > default, and `--set a.b=1` above all. What may be
 * set, and the defaults, are in ./config.schema.json. A mistake is one line that says where the value came from.
 */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { Ajv } from 'ajv'
import { multiaddr } from '@multiformats/multiaddr'
import { parse } from 'yaml'
import schema from './config.schema.json' with { type: 'json' }
import { InvalidParametersError } from '../../src/errors.ts'
import { isStrategyFile } from '../../src/strategies/outside.ts'
import { nearest } from './nearest.ts'
import type { RungName } from '../../src/backend/ladder.ts'
import type { FmtlErrorInit } from '../../src/errors.ts'
import type { CharterOptions } from '../../src/federation/charter.ts'
import type { ConsortiumOptions } from '../../src/membership/index.ts'
import type { RelayWish } from '../network/reach.ts'
import type { RoleWish } from '../roles/choose.ts'
import type { ErrorObject } from 'ajv'

export interface Config {
  readonly node: { readonly name: string, readonly home: string, readonly role: RoleWish, readonly backend?: RungName, readonly slots: number, readonly memory?: number, readonly foundation?: string, readonly strategy: string }
  readonly network: {
    readonly listen: readonly string[]
    readonly bootstrap: readonly string[]
    readonly announce: readonly string[]
    readonly relay: RelayWish
    readonly mdns: boolean
    readonly dht: boolean
    readonly profile: 'production' | 'testnet'
  }
  readonly data: { readonly path?: string, readonly client?: string, readonly tasks?: readonly string[], readonly rows?: number }
  /** All but what comes from the data; a file that it was named by is read already. */
  readonly charter?: Partial<Omit<CharterOptions, 'input' | 'tasks'>> & Partial<Pick<ConsortiumOptions, 'governance' | 'safeguards'>>
  readonly logging: { readonly level: 'error' | 'warn' | 'info' | 'debug' }
}

export interface ConfigSources {
  /** Default: `FMTL_CONFIG`, else config.yaml in the node's home where there is one. */
  readonly file?: string
  readonly env: Readonly<Record<string, string | undefined>>
  /** By dotted path, `{ 'node.role': 'host' }`, as the command line has them: text, text list or number. */
  readonly flags?: Readonly<Record<string, unknown>>
  /** `a.b=1`, in the order of the command line. */
  readonly sets?: readonly string[]
}

type Tree = Record<string, unknown>
/** What is read of a schema here. */
interface Shape { readonly type?: string | readonly string[], readonly enum?: readonly string[], readonly properties?: Readonly<Record<string, Shape>> }
interface Setting { readonly path: readonly string[], readonly value: unknown, readonly from: string }

/** A charter with every setting written out and commented has 4 KB. */
const MAX_FILE_BYTES = 256 * 1024
/** No aliases: settings have no use for them, and one can contain itself. */
const YAML = { maxAliasCount: 0, logLevel: 'error' } as const
const SHORT_NAMES: Readonly<Record<string, string>> = { FMTL_HOME: 'node.home', FMTL_BACKEND: 'node.backend', FMTL_LOG_LEVEL: 'logging.level', FMTL_CHARTER: 'charter' }
const VARIABLES: ReadonlyMap<string, string> = new Map([...leaves(schema as Shape).map(path => [variableName(path), path] as const), ...Object.entries(SHORT_NAMES)])
/** Of a variable that begins so, we know whether it is one. */
const OURS = new RegExp(`^FMTL_(${Object.keys(schema.properties).join('|').toUpperCase()})_`)

const validate = new Ajv({ useDefaults: true, verbose: true, allowUnionTypes: true }).compile(schema)
/** The file alone, so that its mistakes are said to be in it even where a flag would hide them. */
const validateFile = new Ajv({ verbose: true, allowUnionTypes: true }).compile(schema)

/** @throws {InvalidParametersError} an unknown key, a value that cannot be, a file that is missing or no YAML */
export function loadConfig ({ file, env, flags = {}, sets = [] }: ConfigSources): Config {
  const settings = [...fromEnvironment(env), ...fromFlags(flags), ...sets.map(fromSet)]
  const path = file ?? nonEmpty(env.FMTL_CONFIG) ?? defaultFile(settings)
  const tree = path === undefined ? {} : readConfigFile(path)
  const origins = new Map<string, string>()
  for (const { path, value, from } of settings) {
    place(tree, path, value, from)
    origins.set(path.join('.'), from)
  }
  check(validate, tree, at => [...origins].findLast(([path]) => path === at || at.startsWith(`${path}.`) || path.startsWith(`${at}.`))?.[1] ?? path ?? 'configuration')
  const config = tree as unknown as Config
  // many nodes on one machine know each other, and would find those of the next testnet too
  const testnet = config.network.profile === 'testnet'
  const { listen = [`/ip4/${testnet ? '127.0.0.1' : '0.0.0.0'}/tcp/0`], mdns = !testnet, dht = !testnet } = config.network as Partial<Config['network']>
  for (const address of listen) checkAddress(address, 'network.listen')
  for (const address of config.network.bootstrap) checkAddress(address, 'network.bootstrap')
  return { ...config, node: { ...config.node, home: absolute(config.node.home, '.') }, network: { ...config.network, listen, mdns, dht } }
}

function defaultFile (settings: readonly Setting[]): string | undefined {
  const home = settings.findLast(({ path }) => path.join('.') === 'node.home')?.value ?? schema.properties.node.properties.home.default
  const path = join(absolute(String(home), '.'), 'config.yaml')
  return existsSync(path) ? path : undefined
}

/** Paths in a file are relative to the file. */
function readConfigFile (path: string): Tree {
  const tree = readYaml(path)
  const folder = dirname(resolve(path))
  if (typeof tree.charter === 'string') tree.charter = readYaml(absolute(tree.charter, folder))
  check(validateFile, tree, () => path)
  // A bare word is a built-in data set, or a folder where the command runs; a strategy is a file or a name.
  const paths = [['node', 'home', () => true], ['data', 'path', (value: string) => /^[.~]|[/\\]/.test(value)], ['node', 'strategy', isStrategyFile], ['node', 'foundation', () => true]] as const
  for (const [section, key, isPath] of paths) {
    const values = tree[section] as Tree | undefined
    if (typeof values?.[key] === 'string' && isPath(values[key])) values[key] = absolute(values[key], folder)
  }
  return tree
}

function readYaml (path: string): Tree {
  let value: unknown
  try {
    const { size } = statSync(path)
    if (size > MAX_FILE_BYTES) throw new Error(`${size} bytes, at most ${MAX_FILE_BYTES} are read`)
    value = parse(readFileSync(path, 'utf8'), YAML) as unknown
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT'
    const [reason = ''] = (cause as Error).message.split('\n')
    throw invalid(`${path}: ${missing ? 'there is no such file' : reason.replace(/:$/, '')}`, { cause, next: missing ? 'check the path' : 'correct the YAML there' })
  }
  if (value === null) return {}
  if (typeof value !== 'object' || Array.isArray(value)) throw invalid(`${path}: a list of settings was expected, section: { key: value }`)
  refusePrototypes(value, path)
  return value as Tree
}

function fromEnvironment (env: ConfigSources['env']): Setting[] {
  const found = Object.entries(env).flatMap(([name, text]) => {
    const path = VARIABLES.get(name)
    if (path === undefined && OURS.test(name)) {
      const section = OURS.exec(name)?.[0] ?? ''
      throw invalid(`${name} is no setting`, { next: knownKeys(name, [...VARIABLES.keys()].filter(known => known.startsWith(section))) })
    }
    return path === undefined || nonEmpty(text) === undefined ? [] : [setting(path, text, name)]
  })
  // The short name of a charter file before the variables that change something in it.
  return found.sort((a, b) => a.path.length - b.path.length)
}

function fromFlags (flags: Readonly<Record<string, unknown>>): Setting[] {
  return Object.entries(flags).flatMap(([path, value]) => value === undefined ? [] : [setting(path, value, `flag for ${path}`)])
}

function fromSet (text: string): Setting {
  const [, path, value] = /^([^=\s]+)=(.*)$/s.exec(text) ?? []
  if (path === undefined) throw invalid(`--set ${text} has no value`, { next: '--set section.key=value' })
  return setting(path, value, `--set ${path}`)
}

function setting (dotted: string, value: unknown, from: string): Setting {
  const path = dotted.split('.')
  if (path.includes('__proto__')) throw invalid(`${from}: __proto__ is no setting`)
  return { path, value: typeof value === 'string' ? interpret(value, shapeAt(path, from), from) : value, from }
}

/** What the schema has at a path; undefined inside the sections that it leaves open. */
function shapeAt (path: readonly string[], from: string): Shape | undefined {
  let shape: Shape | undefined = schema as Shape
  for (const [i, key] of path.entries()) {
    const known: Shape['properties'] = shape?.properties
    if (known === undefined) {
      if (shape?.type !== undefined && shape.type !== 'object') throw invalid(`${from}: ${path.slice(0, i).join('.')} has no settings in it`)
      return undefined
    }
    if (!Object.hasOwn(known, key)) throw invalid(`${from}: ${path.slice(0, i + 1).join('.')} is no setting`, { next: knownKeys(key, Object.keys(known)) })
    shape = known[key]
  }
  return shape
}

/** Text from outside a file has no type of its own; what does not fit is left for the schema to refuse. */
function interpret (text: string, shape: Shape | undefined, from: string): unknown {
  switch (shape?.type) {
    case 'string': return text
    case 'array': return text.split(',').map(part => part.trim()).filter(part => part !== '')
    case 'boolean': return ({ true: true, yes: true, on: true, false: false, no: false, off: false } as Record<string, boolean>)[text.trim().toLowerCase()] ?? text
    case 'integer':
    case 'number': return /^[+-]?\d+(\.\d+)?(e[+-]?\d+)?$/i.test(text.trim()) ? Number(text) : text
    default:
  }
  if (shape?.properties !== undefined) return text // a charter file; of another section the schema says what is wrong
  let value: unknown
  try {
    value = parse(text, YAML) as unknown
  } catch (cause) {
    throw invalid(`${from}: '${text}' is no YAML value`, { cause, next: 'quote the value' })
  }
  refusePrototypes(value, from)
  return value
}

function place (tree: Tree, path: readonly string[], value: unknown, from: string): void {
  if (path.length === 1 && path[0] === 'charter' && typeof value === 'string') {
    tree.charter = readYaml(absolute(value, '.'))
    return
  }
  let at = tree
  for (const [i, key] of path.slice(0, -1).entries()) {
    const next = Object.hasOwn(at, key) ? at[key] : at[key] = {}
    if (next === null || typeof next !== 'object' || Array.isArray(next)) throw invalid(`${from}: ${path.slice(0, i + 1).join('.')} has no settings in it`)
    at = next as Tree
  }
  at[path.at(-1) as string] = value
}

function check (validate: typeof validateFile, tree: Tree, origin: (path: string) => string): void {
  if (validate(tree)) return
  const [error] = validate.errors as [ErrorObject]
  const path = error.instancePath.slice(1).replaceAll('/', '.')
  const inside = path === '' ? '' : `${path}.`
  if (error.keyword === 'additionalProperties') {
    const key = `${inside}${String(error.params.additionalProperty)}`
    throw invalid(`${origin(key)}: ${key} is no setting`, { next: knownKeys(String(error.params.additionalProperty), Object.keys((error.parentSchema as Shape).properties ?? {})) })
  }
  throw invalid(`${origin(path)}: ${path} ${complaint(error)}`)
}

function knownKeys (key: string, known: readonly string[]): string {
  const meant = nearest(key, known)
  return `${meant === undefined ? '' : `did you mean ${meant}? `}known: ${known.join(', ')}`
}

/** Only that it reads as an address: whether somebody answers there shows later. */
function checkAddress (address: string, what: string): void {
  try {
    const port = /\/(?:tcp|udp)\/([^/]*)/.exec(address)?.[1]
    if (port !== undefined && !(/^\d{1,5}$/.test(port) && Number(port) <= 65535)) throw new Error(`port ${port} is no number from 0 to 65535`)
    multiaddr(address)
  } catch (cause) {
    throw invalid(`${what}: '${address.slice(0, 80)}' is no address: ${(cause as Error).message}`, { cause, next: 'write it as /ip4/192.0.2.7/tcp/4001' })
  }
}

function complaint ({ keyword, params, data, message }: ErrorObject): string {
  const text = JSON.stringify(data)
  const shown = text.length > 60 ? `${text.slice(0, 57)}...` : text
  switch (keyword) {
    case 'enum': return `is ${shown}, not one of ${(params.allowedValues as string[]).join(', ')}`
    case 'type': return `is ${shown}, not ${({ integer: 'a whole number', number: 'a number', string: 'a text', boolean: 'true or false', array: 'a list', object: 'a section', 'object,string': 'a section or the path of a file' } as Record<string, string>)[String(params.type)]}`
    default: return `is ${shown}, it ${message ?? 'cannot be'}`
  }
}

function refusePrototypes (value: unknown, from: string): void {
  if (value === null || typeof value !== 'object') return
  if (Object.hasOwn(value, '__proto__')) throw invalid(`${from}: __proto__ is no setting`)
  for (const entry of Object.values(value)) refusePrototypes(entry, from)
}

function leaves (shape: Shape, path: readonly string[] = []): string[] {
  if (shape.properties === undefined) return shape.type === 'object' ? [] : [path.join('.')]
  return Object.entries(shape.properties).flatMap(([key, inner]) => leaves(inner, [...path, key]))
}

/** charter.clock.stepDeadlineMs is FMTL_CHARTER_CLOCK_STEP_DEADLINE_MS. */
function variableName (path: string): string {
  return `FMTL_${path.replaceAll('.', '_').replace(/[A-Z]/g, letter => `_${letter}`).toUpperCase()}`
}

function absolute (path: string, folder: string): string {
  return /^~(?=$|[/\\])/.test(path) ? join(homedir(), path.slice(1)) : resolve(folder, path)
}

/** Keys and values come from outside: a line break in them does not break the line. */
function invalid (message: string, init?: FmtlErrorInit): InvalidParametersError {
  return new InvalidParametersError(message.replace(/\s+/g, ' '), init)
}

function nonEmpty (text: string | undefined): string | undefined { return text === '' ? undefined : text }
