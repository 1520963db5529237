/** A config.yaml that mentions every setting of ./config.schema.json with its default, as comments, and sets only what it is told to. */
import { stringify } from 'yaml'
import schema from './config.schema.json' with { type: 'json' }
import { BENCH } from '../../src/bench/spec.ts'
import { GROUPING } from '../../src/federation/grouping.ts'
import { createCharter } from '../../src/federation/charter.ts'
import { createConsortium } from '../../src/membership/index.ts'

interface Shape {
  readonly description?: string
  readonly default?: unknown
  readonly enum?: readonly string[]
  readonly type?: string | readonly string[]
  readonly properties?: Readonly<Record<string, Shape>>
}

/** What a charter has where it says nothing, but for what comes from the data. */
const training = createCharter({ name: 'c', seed: 0, input: { modality: 'table', shape: [1] }, tasks: [] })
const { projection, merge, clock, cutCodec } = training
const { governance, safeguards } = createConsortium({ name: 'c', training })
const CHARTER: Tree = { projection, merge, clock, cutCodec, grouping: GROUPING, bench: BENCH, governance, safeguards }

type Tree = Readonly<Record<string, unknown>>

/** @param settings - section -> key -> value: written as settings, the rest as comments */
export function configTemplate (settings: Readonly<Record<string, Tree>>): string {
  const lines = [
    '# Settings of this fmtl-node. A line without # is a setting; take the # away to change a default.',
    ...commented(schema.description),
    '# The command line comes before the environment, and the environment before this file.'
  ]
  for (const [section, shape] of Object.entries(schema.properties as Readonly<Record<string, Shape>>)) {
    const own = settings[section] ?? {}
    lines.push('', ...commented(shape.description), `${Object.keys(own).length > 0 ? '' : '# '}${section}:`, ...entries(shape, own, section === 'charter' ? CHARTER : {}, '  '))
  }
  return `${lines.join('\n')}\n`
}

function entries ({ properties = {} }: Shape, own: Tree, defaults: Tree, indent: string): string[] {
  return Object.entries(properties).flatMap(([key, shape]) => {
    const inside = shape.properties === undefined ? [] : entries(shape, {}, (defaults[key] ?? {}) as Tree, `${indent}  `)
    const line = key in own ? `${indent}${key}: ${inYaml(own[key])}` : `# ${indent}${key}:${inside.length > 0 ? '' : ` ${shown(shape, defaults[key])}`}`
    return [...commented(`${shape.description ?? ''}${shape.enum === undefined ? '' : ` (${shape.enum.join(', ')})`}`, indent), line, ...inside]
  })
}

/** The default, or what kind of value it takes. */
function shown (shape: Shape, known: unknown): string {
  const value = shape.default ?? known
  if (value !== undefined) return inYaml(value)
  const sample = { integer: '<whole number>', number: '<number>', array: '[<text>, ...]', object: '{}' } as Readonly<Record<string, string>>
  return shape.enum === undefined ? sample[String(shape.type)] ?? '<text>' : '<one of them>'
}

function inYaml (value: unknown): string { return stringify(value, { collectionStyle: 'flow', lineWidth: 0 }).trimEnd() }

function commented (text: string | undefined, indent = ''): string[] { return text === undefined || text === '' ? [] : [`# ${indent}${text}`] }
