/**
 * Digits for a bench, one site's rows in one site's files, as a consortium has them: drawn from a data set, or made up where
 * none is given (ten blurred patterns, shifted in brightness and drowned in noise). 16 x 16 grey bytes in IDX files.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { InvalidParametersError } from '../../src/errors.ts'
import { MANIFEST_FILE, openDataset } from '../../src/data/open.ts'
import { Random, deriveSeed } from '../../src/random.ts'
import { elements } from '../../src/tensor/tensor.ts'
import type { Rows } from '../../src/data/dataset.ts'

export interface DigitsInit {
  readonly clients: number
  /** Training rows per client, hold-out included, and test rows at most. */
  readonly rows: number
  readonly testRows: number
  readonly seed: number
  /** A data set of pictures of bytes with a class label, such as `digits`; left out: made up. */
  readonly data?: string
}

interface Pictures {
  /** count x side x side. */
  readonly x: Uint8Array
  readonly labels: Uint8Array
}

const SIDE = 16
const CLASSES = 10
/** Share of the training rows that a client holds out, as the manifest of `digits` has it. */
export const HOLDOUT = 0.2

/** Writes the sites' files and their manifest into `folder`. @throws {InvalidParametersError} the data are no pictures of bytes */
export async function writeDigits (folder: string, init: DigitsInit): Promise<void> {
  const names = Array.from({ length: init.clients }, (_, c) => `site-${c}`)
  const make = init.data === undefined ? madeUp(init) : await drawn(init.data, init)
  for (const [c, name] of names.entries()) {
    const { train, test } = await make(c)
    const count = train.labels.length + test.labels.length
    const flags = new Uint8Array(count).fill(1, train.labels.length)
    await writeFile(join(folder, `${name}-images-idx3-ubyte`), idx([count, SIDE, SIDE], [train.x, test.x]))
    await writeFile(join(folder, `${name}-labels-idx1-ubyte`), idx([count], [train.labels, test.labels]))
    await writeFile(join(folder, `${name}-test-idx1-ubyte`), idx([count], [flags]))
  }
  await writeFile(join(folder, MANIFEST_FILE), `name: bench-digits
files: { images: '{client}-images-idx3-ubyte', labels: '{client}-labels-idx1-ubyte', test: '{client}-test-idx1-ubyte' }
input: { modality: image, file: images, prepare: [{ divide: 255 }] }
clients: { files: [${names.join(', ')}] }
test: { file: test }
holdout: { policy: random }
tasks: [{ id: digit, kind: classes, file: labels, classes: ${CLASSES} }]
recipe: { tasks: [digit], holdout: ${HOLDOUT} }
`)
}

type Make = (client: number) => Promise<{ train: Pictures, test: Pictures }>

async function drawn (data: string, { clients, rows, testRows, seed }: DigitsInit): Promise<Make> {
  const dataset = await openDataset(data, { seed, clients, rows, tasks: ['digit'], partition: 'iid', holdout: 0 })
  if (elements(dataset.input.shape) !== SIDE * SIDE) throw new InvalidParametersError(`${data} has inputs of [${dataset.input.shape.join(', ')}], this bench takes ${SIDE} x ${SIDE} pictures`, { next: 'give the folder of digits, or leave --data out' })
  const bytes = (rows: Rows, count: number): Pictures => ({
    x: Uint8Array.from(rows.x.subarray(0, count * SIDE * SIDE), value => Math.round(255 * value)),
    labels: Uint8Array.from((rows.y.digit as Float32Array).subarray(0, count))
  })
  return async client => {
    const { train, test } = await dataset.client(dataset.clientIds[client] as string)
    return { train: bytes(train, train.count), test: bytes(test, Math.min(testRows, test.count)) }
  }
}

function madeUp ({ rows, testRows, seed }: DigitsInit): Make {
  const patterns = Array.from({ length: CLASSES }, (_, c) => pattern(new Random(deriveSeed(seed, 'pattern', c))))
  return async client => {
    const random = new Random(deriveSeed(seed, 'rows', client))
    const draw = (count: number): Pictures => {
      const pictures = { x: new Uint8Array(count * SIDE * SIDE), labels: new Uint8Array(count) }
      for (let row = 0; row < count; row++) {
        const label = pictures.labels[row] = random.int(CLASSES)
        const shift = 0.2 * random.normal()
        const shown = (patterns[label] as Float32Array).map(value => 255 * Math.min(1, Math.max(0, value + shift + 0.35 * random.normal())))
        pictures.x.set(shown, row * SIDE * SIDE)
      }
      return pictures
    }
    return { train: draw(rows), test: draw(testRows) }
  }
}

/** Random dots, each the mean of its 3 x 3 neighbourhood, brought to 0 .. 1. */
function pattern (random: Random): Float32Array {
  const dots = Float32Array.from({ length: SIDE * SIDE }, () => random.next())
  return dots.map((_, at) => {
    let [sum, count] = [0, 0]
    for (let dy = -1; dy <= 1; dy++) {
      for (let dx = -1; dx <= 1; dx++) {
        const [y, x] = [Math.floor(at / SIDE) + dy, at % SIDE + dx]
        if (y < 0 || y >= SIDE || x < 0 || x >= SIDE) continue
        sum += dots[y * SIDE + x] as number
        count++
      }
    }
    return sum / count
  })
}

/** An IDX file of unsigned bytes. */
function idx (shape: readonly number[], parts: readonly Uint8Array[]): Buffer {
  const head = Buffer.alloc(4 + 4 * shape.length)
  head.writeUInt8(8, 2)
  head.writeUInt8(shape.length, 3)
  shape.forEach((size, i) => head.writeUInt32BE(size, 4 + 4 * i))
  return Buffer.concat([head, ...parts])
}
