/**
 * `scenes`, the procedural set: small colour pictures of 1 to 4 solids before a wall and floor, with eight labels.
 * A picture is a pure function of (seed, client, index, shift, size), so every peer makes its own data from nothing.
 * The golden values in test/vectors/scenes pin the function down; changing it makes another data set.
 *
 * Streams of random numbers: 0 scene, 1 noise, 2 client; their number of draws is fixed, used or not.
 */
import { chosenTasks } from './files.ts'
import { takeShare } from './split.ts'
import { InvalidParametersError } from '../errors.ts'
import { Random, deriveSeed, mix } from '../random.ts'
import { recipeFor } from './dataset.ts'
import type { ClientData, Dataset, DatasetOptions, InputSpec, Recipe, Rows } from './dataset.ts'
import type { ScenesManifest } from './manifest.ts'
import type { TaskSpec } from '../tasks/task.ts'

/** One client's world: its light, texture, camera and mix of shapes. */
export interface SceneDomain {
  readonly ambient: number
  readonly diffuse: number
  readonly lightAz: number
  readonly lightSpread: number
  readonly texAmp: number
  readonly texFreq: number
  readonly hueShift: number
  readonly gain: number
  readonly gamma: number
  readonly wb: readonly [number, number, number]
  readonly blur: number
  readonly noise: number
  readonly vignette: number
  readonly prior: readonly [number, number, number, number]
}

export interface Scene {
  /** size x size x 3 bytes. */
  readonly image: Uint8Array
  readonly seg: Float32Array
  readonly depth: Float32Array
  readonly normal: Float32Array
  readonly edge: Float32Array
  readonly cls: number
  readonly count: number
  readonly orient: readonly [number, number, number]
  readonly light: readonly [number, number]
}

export interface SceneInit {
  readonly seed: number
  readonly client: number
  readonly index: number
  readonly shift: number
  readonly size: number
}

const TAU = 2 * Math.PI
const CLIENT_INDEX = 0xffffffff

function clamp (v: number, low: number, high: number): number { return Math.min(high, Math.max(low, v)) }

function roundHalfEven (v: number): number {
  const down = Math.floor(v)
  if (v - down !== 0.5) return Math.round(v)
  return down % 2 === 0 ? down : down + 1
}

function draws (n: number, seed: number): number[] {
  const random = new Random(seed)
  return Array.from({ length: n }, () => random.next())
}

export function sceneDomain (seed: number, client: number, shift: number): SceneDomain {
  const d = draws(18, mix(seed, client, CLIENT_INDEX, 2)).map((v) => v - 0.5)
  const at = (i: number): number => d[i] as number
  const s = shift
  const scores = [14, 15, 16, 17].map((i) => Math.exp(4 * s * at(i)))
  const sum = scores.reduce((a, b) => a + b, 0)
  return {
    ambient: 0.35 + 0.3 * s * at(0),
    diffuse: 0.65 + 0.5 * s * at(1),
    lightAz: TAU * s * at(2),
    lightSpread: Math.PI * (1 - 0.75 * s),
    texAmp: 0.15 + 0.3 * s * at(3),
    texFreq: 2 + 3 * s * at(4),
    hueShift: s * at(5),
    gain: 1 + 0.5 * s * at(6),
    gamma: 2 ** (1.6 * s * at(7)),
    wb: [1 + 0.6 * s * at(8), 1 + 0.6 * s * at(9), 1 + 0.6 * s * at(10)],
    blur: roundHalfEven(2 * s * (at(11) + 0.5)),
    noise: 0.015 + 0.06 * s * (at(12) + 0.5),
    vignette: 0.6 * s * (at(13) + 0.5),
    prior: scores.map((v) => v / sum) as [number, number, number, number]
  }
}

function hsv (hue: number, saturation: number, value: number): [number, number, number] {
  const h = 6 * (hue - Math.floor(hue))
  return [5, 3, 1].map((offset) => {
    const t = (offset + h) % 6
    return value - value * saturation * clamp(Math.min(t, 4 - t), 0, 1)
  }) as [number, number, number]
}

interface Solid {
  readonly type: number
  readonly cx: number
  readonly cy: number
  readonly r: number
  readonly angle: number
  readonly z: number
  readonly colour: readonly [number, number, number]
  readonly sx: number
  readonly sy: number
  readonly phi: number
}

/** Height over the object's middle and the normal before scaling, in its own axes; undefined outside. */
function surface ({ type, sx, sy }: Solid, p: number, q: number): readonly [number, number, number, number] | undefined {
  switch (type) {
    case 0: {
      const rest = 1 - p * p - q * q
      if (!(p * p + q * q < 1)) return undefined
      const h = Math.sqrt(rest)
      return [h, p, q, h]
    }
    case 1:
      return Math.abs(p) < 0.85 && Math.abs(q) < 0.85 ? [0.5 + sx * p + sy * q, -sx, -sy, 1] : undefined
    case 2: {
      const w = 0.45 * (1 + q)
      if (!(q > -1 && q < 1 && Math.abs(p) < w)) return undefined
      const h = Math.sqrt(w * w - p * p)
      return [h, p, -0.45 * w, h]
    }
    default: {
      if (!(Math.abs(p) < 0.6 && Math.abs(q) < 1)) return undefined
      const h = Math.sqrt(0.36 - p * p)
      return [h, p, 0, h]
    }
  }
}

function solids (e: readonly number[], { prior, hueShift }: SceneDomain): Solid[] {
  const n = 1 + Math.floor(4 * (e[0] as number))
  return Array.from({ length: n }, (_, k) => {
    const o = (i: number): number => e[6 + 11 * k + i] as number
    let type = 0
    let cumulative = prior[0]
    while (type < 3 && !(o(0) < cumulative)) cumulative += prior[++type as 1 | 2 | 3]
    return {
      type,
      cx: -0.75 + 1.5 * o(1),
      cy: -0.75 + 1.5 * o(2),
      r: 0.25 + 0.3 * o(3),
      angle: TAU * o(4),
      z: 0.25 + 0.5 * o(5),
      colour: hsv(o(6) + hueShift, 0.45 + 0.5 * o(7), 0.9),
      sx: o(8) - 0.5,
      sy: o(9) - 0.5,
      phi: Math.PI * o(10)
    }
  })
}

/** @param domain - `sceneDomain(seed, client, shift)`, passed to make it once per client */
export function scene (init: SceneInit, domain: SceneDomain = sceneDomain(init.seed, init.client, init.shift)): Scene {
  const { seed, client, index, size } = init
  const e = draws(50, mix(seed, client, index, 0))
  const at = (i: number): number => e[i] as number
  const horizon = -0.5 + 0.6 * at(1)
  const az = domain.lightAz + domain.lightSpread * (2 * at(2) - 1)
  const el = 0.35 + 0.75 * at(3)
  const toLight = [Math.cos(az) * Math.cos(el), Math.sin(az) * Math.cos(el), Math.sin(el)] as const

  const pixels = size * size
  const depth = new Float64Array(pixels)
  const normal = new Float64Array(pixels * 3)
  const colour = new Float64Array(pixels * 3)
  const owner = new Uint8Array(pixels)
  const centre = (i: number): number => (i + 0.5) / size * 2 - 1
  const put = (i: number, z: number, n: readonly number[], c: readonly number[], shade: number): void => {
    depth[i] = z
    for (let k = 0; k < 3; k++) {
      normal[i * 3 + k] = n[k] as number
      colour[i * 3 + k] = (c[k] as number) * shade
    }
  }

  const wall = hsv(at(4) + domain.hueShift, 0.3, 0.75)
  const floor = hsv(at(5) + domain.hueShift, 0.3, 0.55)
  for (let y = 0; y < size; y++) {
    const v = centre(y)
    for (let x = 0; x < size; x++) {
      if (v <= horizon) put(y * size + x, 1, [0, 0, 1], wall, 1)
      else put(y * size + x, 1 - 0.5 * (v - horizon) / (1 - horizon), [0, -0.8, 0.6], floor, 1)
    }
  }

  const objects = solids(e, domain)
  for (const [k, object] of objects.entries()) {
    const [cos, sin] = [Math.cos(object.angle), Math.sin(object.angle)]
    const [alongP, alongQ] = [Math.cos(object.phi), Math.sin(object.phi)]
    for (let y = 0; y < size; y++) {
      const dy = (centre(y) - object.cy) / object.r
      for (let x = 0; x < size; x++) {
        const dx = (centre(x) - object.cx) / object.r
        const [p, q] = [cos * dx + sin * dy, -sin * dx + cos * dy]
        const hit = surface(object, p, q)
        if (hit === undefined) continue
        const [h, np, nq, nz] = hit
        const z = object.z - 0.5 * object.r * h
        const i = y * size + x
        if (!(z < (depth[i] as number))) continue
        const length = Math.max(1e-6, Math.sqrt(np * np + nq * nq + nz * nz))
        const texture = 1 + domain.texAmp * Math.sin(TAU * domain.texFreq * (p * alongP + q * alongQ))
        put(i, z, [(cos * np - sin * nq) / length, (sin * np + cos * nq) / length, nz / length], object.colour, texture)
        owner[i] = k + 1
      }
    }
  }

  return {
    image: photograph(init, domain, colour, normal, toLight),
    depth: Float32Array.from(depth),
    normal: Float32Array.from(normal),
    light: [Math.cos(az), Math.sin(az)],
    ...objectLabels(objects, owner, size)
  }
}

function objectLabels (objects: readonly Solid[], owner: Uint8Array, size: number): Pick<Scene, 'seg' | 'edge' | 'cls' | 'count' | 'orient'> {
  const visible = objects.map(() => 0)
  const seg = new Float32Array(owner.length)
  const edge = new Float32Array(owner.length)
  for (let i = 0; i < owner.length; i++) {
    const k = owner[i] as number
    if (k > 0) {
      visible[k - 1] = (visible[k - 1] as number) + 1
      seg[i] = (objects[k - 1] as Solid).type + 1
    }
    const right = (i + 1) % size !== 0 && owner[i + 1] !== k
    const below = i + size < owner.length && owner[i + size] !== k
    edge[i] = right || below ? 1 : 0
  }
  const largest = objects[visible.indexOf(Math.max(...visible))] as Solid
  // a cone is itself after a whole turn, a cylinder after half of one; a sphere and a slab show no angle
  const m = largest.type === 2 ? 1 : largest.type === 3 ? 2 : 0
  return {
    seg,
    edge,
    cls: largest.type,
    count: visible.filter((n) => n >= 6 * size * size / 1024).length,
    orient: [Math.cos(m * largest.angle), Math.sin(m * largest.angle), m === 0 ? 0 : 1]
  }
}

function photograph ({ seed, client, index, size }: SceneInit, domain: SceneDomain, colour: Float64Array, normal: Float64Array, toLight: readonly [number, number, number]): Uint8Array {
  let picture: Float64Array = new Float64Array(colour.length)
  for (let i = 0; i < size * size; i++) {
    const facing = (normal[i * 3] as number) * toLight[0] + (normal[i * 3 + 1] as number) * toLight[1] + (normal[i * 3 + 2] as number) * toLight[2]
    const light = domain.ambient + domain.diffuse * Math.max(0, facing)
    for (let c = 0; c < 3; c++) picture[i * 3 + c] = (colour[i * 3 + c] as number) * light
  }
  for (let pass = 0; pass < domain.blur; pass++) picture = blurred(blurred(picture, size, size * 3, 3), size, 3, size * 3)

  const noise = new Random(mix(seed, client, index, 1))
  const image = new Uint8Array(colour.length)
  for (let i = 0; i < size * size; i++) {
    const u = (i % size + 0.5) / size * 2 - 1
    const v = (Math.floor(i / size) + 0.5) / size * 2 - 1
    const vignette = 1 - domain.vignette * (u * u + v * v) / 2
    for (let c = 0; c < 3; c++) {
      const exposed = Math.max(0, (picture[i * 3 + c] as number) * vignette * domain.gain * (domain.wb[c] as number)) ** domain.gamma
      const a = noise.next()
      const b = noise.next()
      const value = exposed + domain.noise * Math.sqrt(-2 * Math.log(1 - a)) * Math.cos(TAU * b)
      image[i * 3 + c] = Math.floor(255 * clamp(value, 0, 1) + 0.5)
    }
  }
  return image
}

/** Kernel 1/4, 1/2, 1/4 along the axis of `stride`; edge pixels repeated. `across` is the other axis's stride. */
function blurred (from: Float64Array, size: number, stride: number, across: number): Float64Array {
  const out = new Float64Array(from.length)
  for (let line = 0; line < size; line++) {
    for (let i = 0; i < size; i++) {
      const [before, after] = [Math.max(0, i - 1), Math.min(size - 1, i + 1)]
      for (let c = 0; c < 3; c++) {
        const start = line * across + c
        out[start + i * stride] = 0.25 * (from[start + before * stride] as number) + 0.5 * (from[start + i * stride] as number) + 0.25 * (from[start + after * stride] as number)
      }
    }
  }
  return out
}

// the data set

const WORLD_SEED = 2024
const TEST_START = 2_000_000
/** Validation pictures start here in the specification, so training ones stay below. */
const TRAIN_END = 1_000_000
const ROWS = 128
const TEST_ROWS = 256
const HOLDOUT = 0.25
/** As many as the specification's own measurements had. */
const CLIENTS = 8

const SHAPES = ['sphere', 'slab', 'cone', 'cylinder']

/** Weights: the prototype's 2, 1, 3, 3, 1, 1, 1, 1 times the loss table's factor 4 for depth. */
function sceneTasks (size: number): TaskSpec[] {
  const picture = [size, size]
  return [
    { id: 'seg', kind: 'dense-classes', channels: 5, targets: 1, positions: picture, classNames: ['background', ...SHAPES], weight: 2, metric: 'meanIoU' },
    { id: 'depth', kind: 'dense-regression', channels: 1, targets: 1, positions: picture, weight: 4, metric: 'mae' },
    { id: 'normal', kind: 'dense-direction', channels: 3, targets: 3, positions: picture, weight: 3, metric: 'angle' },
    // about a tenth of the pixels are edges: unweighted, "no edge anywhere" is the first thing a model finds
    { id: 'edge', kind: 'dense-binary', channels: 1, targets: 1, positions: picture, weight: 3, positiveWeight: 4, metric: 'f1' },
    { id: 'cls', kind: 'classes', channels: 4, targets: 1, positions: [1], classNames: SHAPES, metric: 'accuracy' },
    { id: 'count', kind: 'classes', channels: 5, targets: 1, positions: [1], metric: 'accuracy' },
    { id: 'orient', kind: 'direction', channels: 2, targets: 3, positions: [1], metric: 'angle' },
    { id: 'light', kind: 'direction', channels: 2, targets: 2, positions: [1], metric: 'angle' }
  ]
}

export const SCENE_TASKS: readonly string[] = sceneTasks(1).map(({ id }) => id)

const RECIPE: Recipe = {
  tasks: ['seg', 'depth', 'edge', 'cls'],
  rows: ROWS,
  holdout: HOLDOUT,
  spread: true,
  model: {
    width: 48,
    layers: 2,
    heads: 4,
    hidden: 96,
    attention: true,
    norm: 'layer',
    dropout: 0,
    embedder: { kind: 'patches', patch: 4, stride: 4, padding: 0 },
    sharedEmbedder: false,
    sharedHeads: []
  },
  training: { rounds: 10, stepsPerRound: 20, batch: 16, lrTrunk: 0.004, lrClient: 0.004, lrLocal: 0.004, warmup: 20, weightDecay: 0.3, smoothing: 0, shift: 0, beta2: 0.99 }
}

/**
 * The world (`scenes.seed`) is fixed; the run's seed takes other training pictures of it: run seed k gets the k-th
 * range of `rows` indices, so different seeds share none. The test pictures are the same for every run.
 */
export function openScenes (manifest: ScenesManifest, options: DatasetOptions): Dataset {
  const { seed: world = WORLD_SEED, shift: manifestShift = 1, size = 32 } = manifest.scenes
  const { partition = 'by-site', seed } = options
  if (partition === 'dirichlet') throw new InvalidParametersError('scenes has no dirichlet partition: every client has its own mix of shapes already', { next: 'use by-site, or iid for identical clients' })
  const shift = partition === 'iid' ? 0 : manifestShift
  const clients = options.clients ?? manifest.scenes.clients ?? CLIENTS
  if (!Number.isSafeInteger(clients) || clients < 1 || clients > 4096) throw new InvalidParametersError(`the number of clients is 1 to 4096, not ${clients}`)
  const recipe = { ...RECIPE, ...manifest.recipe }
  const rows = options.rows ?? recipe.rows ?? ROWS
  if (rows > TRAIN_END) throw new InvalidParametersError(`scenes has ${TRAIN_END} training pictures per client, not ${rows}`)
  const share = options.holdout ?? recipe.holdout ?? HOLDOUT
  const all = sceneTasks(size)
  const wanted = chosenTasks(all.map(({ id }) => id), options, recipe)
  const tasks = all.filter(({ id }) => wanted.includes(id))
  const input: InputSpec = { modality: 'image', shape: [size, size, 3] }
  const clientIds = Array.from({ length: clients }, (_, k) => `camera-${k}`)
  const made = new Map<string, ClientData>()
  const first = (seed % Math.floor(TRAIN_END / rows)) * rows

  return {
    name: manifest.name,
    input,
    tasks,
    clientIds,
    recipe: recipeFor(recipe, wanted),
    async client (id) {
      const client = clientIds.indexOf(id)
      if (client < 0) throw new InvalidParametersError(`no client '${id}' in ${manifest.name}, there are ${clientIds.join(', ')}`, { next: 'name one of these' })
      const kept = made.get(id)
      if (kept !== undefined) return kept
      const domain = sceneDomain(world, client, shift)
      const make = (indices: readonly number[]): Rows => sceneRows(tasks, indices, (index) => scene({ seed: world, client, index, shift, size }, domain), size)
      const { rest, taken } = takeShare(rows, share, { random: new Random(deriveSeed(seed, manifest.name, id, 'holdout')) })
      const data: ClientData = {
        id,
        input,
        tasks,
        train: make(rest.map((i) => first + i)),
        holdout: make(taken.map((i) => first + i)),
        test: make(Array.from({ length: TEST_ROWS }, (_, i) => TEST_START + i))
      }
      made.set(id, data)
      return data
    }
  }
}

function sceneRows (tasks: readonly TaskSpec[], indices: readonly number[], make: (index: number) => Scene, size: number): Rows {
  const pixels = size * size
  const x = new Float32Array(indices.length * pixels * 3)
  const sizes = new Map(tasks.map(({ id, positions, targets }) => [id, positions.reduce((a, b) => a * b, 1) * targets]))
  const y = Object.fromEntries([...sizes].map(([id, n]) => [id, new Float32Array(indices.length * n)]))
  for (const [row, index] of indices.entries()) {
    const picture = make(index)
    for (let i = 0; i < pixels * 3; i++) x[row * pixels * 3 + i] = (picture.image[i] as number) / 127.5 - 1
    for (const [id, n] of sizes) {
      const label = picture[id as keyof Scene]
      y[id]?.set(typeof label === 'number' ? [label] : label, row * n)
    }
  }
  return { count: indices.length, x, y, source: Int32Array.from(indices) }
}
