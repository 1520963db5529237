/** `fmtl-node predict`: what an exported predictor says of rows, in one process with no network, on whatever this machine computes with. */
import { readFile, stat, writeFile } from 'node:fs/promises'
import { DataError, DecodeError, InvalidParametersError } from '../../src/errors.ts'
import { RUNGS, isRungName, loadBestRung } from '../../src/backend/ladder.ts'
import { EVALUATION_ROWS } from '../../src/training/evaluation.ts'
import { Random } from '../../src/random.ts'
import { bytes, clean, metric, table } from './format.ts'
import { compare } from '../../src/data/check-charter.ts'
import { createBackend } from '../../src/backend/index.ts'
import { decodeSafetensors } from '../store/safetensors.ts'
import { examples, formatOption } from './help.ts'
import { linesOf, scoresOf } from '../../src/export/answers.ts'
import { loadPredictor } from '../../src/export/predictor.ts'
import { modelWork } from '../../src/training/work.ts'
import { openDataset } from '../../src/data/open.ts'
import { readCard } from '../../src/export/card.ts'
import type { Card } from '../../src/export/card.ts'
import type { Command } from 'commander'
import type { Format } from './help.ts'
import type { NamedTensor } from '../../src/tensor/tensor.ts'
import type { Predictor } from '../../src/export/predictor.ts'
import type { Rows } from '../../src/data/dataset.ts'
import type { TaskScore } from '../../src/export/answers.ts'

interface Flags {
  model: string
  data: string
  client?: string
  split: string
  attack?: string
  backend?: string
  out?: string
  format: Format
}

const SPLITS = ['test', 'holdout', 'train'] as const
/** Sixteen times the largest model that trains here. */
const MAX_MODEL_BYTES = 4 * 2 ** 30
const ATTACK_STEPS = 20

export function registerPredict (program: Command): void {
  const command = program.command('predict')
    .description('what an exported predictor says of rows; no network, no charter')
    .requiredOption('--model <file>', 'as `fmtl-node export` wrote it')
    .requiredOption('--data <path>', 'data set with the rows, of the form that it was trained on')
    .option('--client <id>', 'whose rows (default: the only one\'s)')
    .option('--split <name>', `which rows: ${SPLITS.join(', ')}`, 'test')
    .option('--attack <epsilon>', 'move every input by up to this much to where the predictor errs most, in the scale of the data; needs labels')
    .option('--backend <rung>', `first compute rung to try: ${RUNGS.join(', ')}`)
    .option('--out <file>', 'write the predictions there, one JSON object a row')
    .addOption(formatOption())
    .action(async (flags: Flags) => { await run(flags) })
  examples(command,
    'fmtl-node predict --model model.safetensors --data ./our-data',
    'fmtl-node predict --model robust.safetensors --data ./our-data --client north --attack 0.03 --out predictions.ndjson')
}

async function run (flags: Flags): Promise<void> {
  const { card, tensors } = await readModel(flags.model)
  const rows = await readRows(flags, card)
  const { backend: prefer } = flags
  if (prefer !== undefined && !isRungName(prefer)) throw new InvalidParametersError(`--backend cannot be '${prefer}'`, { next: `use one of ${RUNGS.join(', ')}` })
  const rung = await loadBestRung({ prefer, work: modelWork(card.model, card, Math.min(rows.count, EVALUATION_ROWS)) })
  const predictor = loadPredictor(createBackend(rung), card, tensors)
  try {
    const x = flags.attack === undefined ? rows.x : await attackedRows(predictor, flags.attack, rows, card)
    const predictions = await predictor.predict({ x, count: rows.count })
    if (flags.out !== undefined) await writeFile(flags.out, linesOf(predictor, predictions, rows))
    say(flags, card, rung.name, rows.count, scoresOf(predictor, predictions, rows))
  } finally {
    predictor.dispose()
  }
}

async function readModel (path: string): Promise<{ card: Card, tensors: readonly NamedTensor[] }> {
  let file: Uint8Array
  try {
    const { size } = await stat(path)
    if (size > MAX_MODEL_BYTES) throw new InvalidParametersError(`${path} has ${bytes(size)}, a predictor has ${bytes(MAX_MODEL_BYTES)} at most`)
    file = await readFile(path)
  } catch (cause) {
    if (cause instanceof InvalidParametersError) throw cause
    throw new DataError(`${path}: the predictor cannot be read (${(cause as NodeJS.ErrnoException).code ?? 'unknown reason'})`, { cause, next: 'check the path' })
  }
  try {
    const { tensors, metadata } = decodeSafetensors(file)
    return { card: readCard(metadata), tensors }
  } catch (cause) {
    if (!(cause instanceof DecodeError)) throw cause
    throw new DecodeError(`${path}: ${cause.message}`, { cause, next: cause.next ?? 'give a file that `fmtl-node export` wrote' })
  }
}

async function readRows ({ data: path, client, split }: Flags, card: Card): Promise<Rows> {
  if (!(SPLITS as readonly string[]).includes(split)) throw new InvalidParametersError(`--split cannot be '${split}'`, { next: `use one of ${SPLITS.join(', ')}` })
  const dataset = await openDataset(path, { seed: card.seed, tasks: card.tasks.map(({ id }) => id) })
  const problems = new Set<string>()
  compare(card, dataset, problems, new Set())
  const [problem] = problems
  if (problem !== undefined) throw new DataError(`the predictor reads other data: ${problem}`, { next: 'give rows of the form that it was trained on' })
  const id = client ?? (dataset.clientIds.length === 1 ? dataset.clientIds[0] : undefined)
  if (id === undefined) throw new DataError(`${path} holds ${dataset.clientIds.length} clients and none was named`, { next: `say whose rows: --client ${dataset.clientIds.join('|')}` })
  return (await dataset.client(id))[split as typeof SPLITS[number]]
}

async function attackedRows (predictor: Predictor, text: string, rows: Rows, { seed }: Card): Promise<Float32Array> {
  const epsilon = Number(text)
  if (!(epsilon > 0)) throw new InvalidParametersError(`--attack must be a number above 0, got '${text}'`)
  if (predictor.attacked === undefined) throw new InvalidParametersError('this predictor has no gradient at its input, so it is not attacked', { next: 'leave --attack out' })
  return await predictor.attacked(rows, { epsilon, steps: ATTACK_STEPS }, new Random(seed))
}

function say ({ model, out, format, attack }: Flags, card: Card, rung: string, rows: number, scores: readonly TaskScore[]): void {
  if (format === 'json') {
    process.stdout.write(`${JSON.stringify({ success: true, model, backend: rung, rows, width: card.width, robustness: card.robustness, ...attack === undefined ? {} : { attack: Number(attack) }, tasks: scores, ...out === undefined ? {} : { out } })}\n`)
    return
  }
  const lines = [
    `${model}: ${clean(card.name)} at step ${card.step}, width ${card.width}, robustness ${card.robustness}; ${rows} rows${attack === undefined ? '' : ` attacked by up to ${Number(attack)}`}, on ${rung}`,
    '',
    ...table([{ title: 'task', shrink: true }, { title: 'metric' }, { title: 'value', align: 'right' }, { title: 'labels', align: 'right' }],
      scores.map(({ id, metric: name, value, support }) => [clean(id), name, metric(value), String(support)]), { width: process.stdout.columns ?? 120 }),
    ...out === undefined ? [] : ['', `predictions in ${out}`]
  ]
  process.stdout.write(`${lines.join('\n')}\n`)
}
