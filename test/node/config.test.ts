import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import fc from 'fast-check'
import { loadConfig } from '../../node/config/config.ts'
import { BENCH } from '../../src/bench/spec.ts'
import { GROUPING } from '../../src/federation/grouping.ts'
import schema from '../../node/config/config.schema.json' with { type: 'json' }
import { RUNGS } from '../../src/backend/ladder.ts'
import { createCharter } from '../../src/federation/charter.ts'
import { weightingNames } from '../../src/weighting/index.ts'
import { InvalidParametersError } from '../../src/errors.ts'
import type { Config, ConfigSources } from '../../node/config/config.ts'

const dir = mkdtempSync(join(tmpdir(), 'fmtl-config-'))
test.after.always(() => { rmSync(dir, { recursive: true, force: true }) })
const HOME = { FMTL_HOME: dir }

let files = 0
function load (text: string | undefined, rest: Partial<ConfigSources> = {}): Config {
  const env = rest.env ?? HOME
  if (text === undefined) return loadConfig({ ...rest, env })
  const file = join(dir, `${files++}.yaml`)
  writeFileSync(file, text)
  return loadConfig({ ...rest, env, file })
}

test('nothing set gives the defaults', t => {
  t.deepEqual(load(undefined), {
    node: { name: 'node', home: dir, role: 'auto', slots: 8, strategy: 'fedbone' },
    network: { listen: ['/ip4/0.0.0.0/tcp/0'], bootstrap: [], announce: [], relay: 'auto', mdns: true, dht: true, profile: 'production' },
    data: {},
    logging: { level: 'info' }
  })
  t.is(load('', { env: {} }).node.home, join(homedir(), '.fmtl'))
  t.deepEqual(load('network: { profile: testnet }').network, { listen: ['/ip4/127.0.0.1/tcp/0'], bootstrap: [], announce: [], relay: 'auto', mdns: false, dht: false, profile: 'testnet' })
  t.not(load(undefined).network.bootstrap, load(undefined).network.bootstrap)
})

const LAYERS = [
  { id: 'a file', file: 'node: { name: a }\ndata: { rows: 1, tasks: [a] }', want: { name: 'a', rows: 1, tasks: ['a'] } },
  { id: 'the environment', env: { FMTL_NODE_NAME: 'b', FMTL_DATA_ROWS: '2', FMTL_DATA_TASKS: 'b, c' }, want: { name: 'b', rows: 2, tasks: ['b', 'c'] } },
  { id: 'flags', flags: { 'node.name': 'c', 'data.rows': 3, 'data.tasks': ['d'], 'data.client': undefined }, want: { name: 'c', rows: 3, tasks: ['d'] } },
  { id: '--set', sets: ['node.name=x', 'node.name=d', 'data.rows=4', 'data.tasks=e,f'], want: { name: 'd', rows: 4, tasks: ['e', 'f'] } }
]
for (const [i, { id, want }] of LAYERS.entries()) {
  test(`${id} comes before what is below`, t => {
    const layers = LAYERS.slice(0, i + 1)
    const { node, data } = load(layers[0]?.file, { env: { ...HOME, ...layers[1]?.env }, ...layers[2] && { flags: layers[2].flags as Record<string, unknown> }, ...layers[3] && { sets: layers[3].sets as string[] } })
    t.deepEqual({ name: node.name, rows: data.rows, tasks: data.tasks }, want)
  })
}

test('the short variables', t => {
  const { node, logging } = load(undefined, { env: { ...HOME, FMTL_BACKEND: 'wasm', FMTL_LOG_LEVEL: 'debug', FMTL_NODE_NAME: '', FMTL_OTHER: 'x' } })
  t.deepEqual([node.backend, logging.level, node.name], ['wasm', 'debug', 'node'])
})

test('FMTL_CONFIG names the file, and a home may hold one', t => {
  const file = join(dir, 'named.yaml')
  writeFileSync(file, 'node: { name: named }')
  t.is(loadConfig({ env: { ...HOME, FMTL_CONFIG: file } }).node.name, 'named')
  const home = mkdtempSync(join(dir, 'home-'))
  writeFileSync(join(home, 'config.yaml'), 'node: { name: at-home }')
  t.is(loadConfig({ env: { FMTL_HOME: home } }).node.name, 'at-home')
  t.is(loadConfig({ env: HOME, sets: [`node.home=${home}`] }).node.name, 'at-home')
})

test('a charter comes from the file, from a file of its own, and is changed on top', t => {
  const inline = load('charter: { name: c, seed: 3, training: { rounds: 4 }, merge: { mode: all } }', {
    env: { ...HOME, FMTL_CHARTER_CLOCK_STEP_DEADLINE_MS: '700' },
    sets: ['charter.training.batch=8', 'charter.model.embedder.kind=tokens', 'charter.model.sharedHeads=[a, b]', 'charter.model.attention=false']
  }).charter
  t.deepEqual(inline, {
    name: 'c',
    seed: 3,
    training: { rounds: 4, batch: 8 },
    merge: { mode: 'all' },
    clock: { stepDeadlineMs: 700 },
    model: { embedder: { kind: 'tokens' }, sharedHeads: ['a', 'b'], attention: false }
  })
  writeFileSync(join(dir, 'charter.yaml'), 'name: own\nseed: 9')
  t.deepEqual(load('charter: charter.yaml').charter, { name: 'own', seed: 9 })
  const env = { ...HOME, FMTL_CHARTER_SEED: '10', FMTL_CHARTER: join(dir, 'charter.yaml') }
  t.deepEqual(load('charter: { name: hidden, cutCodec: f16 }', { env }).charter, { name: 'own', seed: 10 })
})

test('training takes words where its settings are words, from a file and from --set', t => {
  t.deepEqual(load('charter: { training: { personal: ditto, pull: 0.5 } }', { sets: ['charter.training.optimiser=sgd', 'charter.model.privateNorms=true'] }).charter, {
    training: { personal: 'ditto', pull: 0.5, optimiser: 'sgd' },
    model: { privateNorms: true }
  })
})

test('paths in a file are relative to it, built-in names are not paths', t => {
  t.is(load('data: { path: ./rows }').data.path, join(dir, 'rows'))
  t.is(load('data: { path: scenes }').data.path, 'scenes')
  t.is(load('data: { path: ~/rows }').data.path, join(homedir(), 'rows'))
  t.is(load('node: { home: deep/home }', { env: {} }).node.home, join(dir, 'deep/home'))
  t.is(load('node: { strategy: mine.ts }').node.strategy, join(dir, 'mine.ts'))
  t.is(load('node: { strategy: mtsl }').node.strategy, 'mtsl')
  t.is(load(undefined, { flags: { 'node.strategy': './mine.ts' } }).node.strategy, './mine.ts')
})

const REFUSED: Array<{ id: string, file?: string, env?: Record<string, string>, flags?: Record<string, unknown>, sets?: string[], message: RegExp, next?: RegExp }> = [
  { id: 'an unknown key', file: 'node: { colour: red }', message: /\.yaml: node\.colour is no setting/, next: /known: name, home, role, backend, slots/ },
  { id: 'an unknown section', file: 'nodes: {}', message: /: nodes is no setting/, next: /known: node, network, data, charter, logging/ },
  { id: 'an unknown key of a charter', file: 'charter: { merge: { speed: 1 } }', message: /charter\.merge\.speed is no setting/, next: /mode, rate/ },
  { id: 'a number as text', file: "node: { slots: '4' }", message: /node\.slots is "4", not a whole number/ },
  { id: 'a number as text in an open section', file: "charter: { training: { rounds: '4' } }", message: /charter\.training\.rounds is "4", not a number/ },
  { id: 'a text as number', file: 'node: { name: 4 }', message: /node\.name is 4, not a text/ },
  { id: 'a list as text', file: 'data: { tasks: a }', message: /data\.tasks is "a", not a list/ },
  { id: 'a value that is not offered', file: 'node: { role: boss }', message: /node\.role is "boss", not one of auto, host, client, both/ },
  { id: 'a number out of range', file: 'node: { slots: 0 }', message: /node\.slots is 0, it must be >= 1/ },
  { id: 'a key twice', file: 'node: { slots: 1, slots: 2 }', message: /unique.*line 1/ },
  { id: 'a file that is no mapping', file: '- 1', message: /list of settings was expected/ },
  { id: 'a file that is no YAML', file: 'node: {', message: /line 1/ },
  { id: 'an alias', file: 'node: &a { name: *a }', message: /Alias/ },
  { id: '__proto__ at the top', file: '__proto__: { name: x }', message: /__proto__ is no setting/ },
  { id: '__proto__ in an open section', file: 'charter: { model: { __proto__: { width: 3 } } }', message: /__proto__ is no setting/ },
  { id: 'a charter that is neither', file: 'charter: 5', message: /charter is 5, not a section or the path of a file/ },
  { id: 'a charter file that is missing', file: 'charter: nowhere.yaml', message: /nowhere\.yaml: there is no such file/ },
  { id: 'a key with a line break', file: '"a\\nb": 1', message: /^[^\n]*a b is no setting$/ },
  { id: 'a mistake that a flag would hide', file: 'node: { role: boss }', flags: { 'node.role': 'host' }, message: /node\.role is "boss"/ },
  { id: 'an unknown variable of ours', env: { FMTL_NODE_NAMES: 'x' }, message: /FMTL_NODE_NAMES is no setting/, next: /FMTL_NODE_NAME, FMTL_NODE_HOME/ },
  { id: 'a variable that is no number', env: { FMTL_NODE_SLOTS: 'many' }, message: /FMTL_NODE_SLOTS: node\.slots is "many", not a whole number/ },
  { id: 'a variable that is not offered', env: { FMTL_BACKEND: 'gpu' }, message: /FMTL_BACKEND: node\.backend is "gpu", not one of/ },
  { id: 'a flag of the wrong value', flags: { 'network.profile': 'lab' }, message: /flag for network\.profile: network\.profile is "lab"/ },
  { id: 'a set without value', sets: ['node.name'], message: /--set node\.name has no value/ },
  { id: 'a set of an unknown key', sets: ['node.nam=x'], message: /--set node\.nam: node\.nam is no setting/, next: /known: name/ },
  { id: 'a set of a whole section', sets: ['node=x'], message: /--set node: node is "x", not a section/ },
  { id: 'a set below a value', sets: ['node.name.first=x'], message: /node\.name has no settings in it/ },
  { id: 'a set of __proto__', sets: ['__proto__.x=1'], message: /__proto__ is no setting/ },
  { id: 'a set of __proto__ in an open section', sets: ['charter.model.a.__proto__.b=1'], message: /__proto__ is no setting/ },
  { id: 'a set of __proto__ as value', sets: ['charter.model.a={__proto__: {b: 1}}'], message: /__proto__ is no setting/ },
  { id: 'a set of constructor', sets: ['constructor.prototype.x=1'], message: /constructor is no setting/ },
  { id: 'a set below a text of an open section', sets: ['charter.model.a=1', 'charter.model.a.b=1'], message: /charter\.model\.a has no settings in it/ },
  { id: 'an open value that is no YAML', sets: ['charter.model.a=[1'], message: /'\[1' is no YAML value/ }
]
for (const { id, file, env, message, next, ...rest } of REFUSED) {
  test(`${id} is refused in one line`, t => {
    const err = t.throws(() => load(file, { env: { ...HOME, ...env }, ...rest }), { instanceOf: InvalidParametersError, message })
    t.notRegex(`${err?.message}${err?.next}`, /\n/)
    if (next !== undefined) t.regex(err?.next ?? '', next)
    t.is(({} as Record<string, unknown>).x, undefined)
  })
}

test('a file that is missing or too large is refused', t => {
  t.throws(() => loadConfig({ env: HOME, file: join(dir, 'absent.yaml') }), { instanceOf: InvalidParametersError, message: /absent\.yaml: there is no such file/ })
  t.throws(() => load('#'.repeat(300_000)), { instanceOf: InvalidParametersError, message: /at most/ })
})

test('whatever is set, a config or one line comes out', t => {
  const paths = fc.oneof(
    fc.constantFrom('node.slots', 'node.name', 'data.tasks', 'charter', 'charter.training.rounds', 'charter.model.a.b', 'charter.model.a', 'network', '__proto__'),
    fc.array(fc.constantFrom('node', 'charter', 'model', 'a', '', '__proto__', 'constructor', 'toString'), { minLength: 1, maxLength: 4 }).map(keys => keys.join('.')))
  const values = fc.oneof(fc.string(), fc.constantFrom('1', '1e999', '[', '{a: b}', '&a [*a]', '!!js/function x', 'null', '__proto__'))
  fc.assert(fc.property(fc.array(fc.tuple(paths, values), { maxLength: 3 }), pairs => {
    try {
      const { node } = load(undefined, { sets: pairs.map(([path, value]) => `${path}=${value}`) })
      t.true(Number.isInteger(node.slots) && typeof node.name === 'string')
    } catch (err) {
      if (!(err instanceof InvalidParametersError)) throw err
    }
    t.deepEqual(Object.keys(Object.prototype), [])
  }), { numRuns: 1000 })
})

test('the schema offers what the code knows', t => {
  t.deepEqual(schema.properties.node.properties.backend.enum, [...RUNGS])
  const defaults = createCharter({ name: 'c', seed: 0, input: { modality: 'table', shape: [2] }, tasks: [] })
  const { projection, merge, clock, grouping, bench } = schema.properties.charter.properties
  for (const [section, known] of [['projection', projection], ['merge', merge], ['clock', clock]] as const) {
    t.deepEqual(Object.keys(known.properties), [...Object.keys(defaults[section]), ...{ projection: ['weighting', 'options'], merge: ['rule', 'options'], clock: [] }[section]])
  }
  t.deepEqual(Object.keys(grouping.properties), ['mergedRounds', 'affinityRounds', ...Object.keys(GROUPING)])
  t.deepEqual(Object.keys(bench.properties), ['architectures', 'rounds', ...Object.keys(BENCH)])
  t.deepEqual(projection.properties.weighting.enum, [...weightingNames])
  t.notThrows(() => load(JSON.stringify({ charter: { ...defaults, model: undefined, input: undefined, tasks: undefined, shared: undefined } })))
})
