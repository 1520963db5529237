/**
 * Who serves one task: the committee that the hold-out chooses from the bench (src/ensemble/select.ts), and why, in figures
 * that a person can check. Labels per row, token or pixel are classes; everything else is numbers, with residuals in the
 * place of probabilities (src/ensemble/residuals.ts).
 */
import { Objectives, ResidualScores, scoresOf, selectSubset } from '../ensemble/index.ts'
import { Random } from '../random.ts'
import { elements } from '../tensor/tensor.ts'
import type { BenchEntry } from './model-bench.ts'
import type { BenchSpec } from './spec.ts'
import type { Combination, Diversity, Selection, SubsetScores } from '../ensemble/index.ts'
import type { EvaluationSplit } from '../training/client-trainer.ts'
import type { TaskSpec } from '../tasks/task.ts'
import type { TensorData } from '../tensor/tensor.ts'

export interface MemberExplanation {
  readonly peer: string
  readonly modelId: string
  readonly version: number
  readonly arch: string
  readonly own: boolean
  /** On the hold-out, alone. */
  readonly accuracy: number
  /** What the committee's hold-out accuracy loses without it; below 0 it would gain. All of it for a member that is alone. */
  readonly loses: number
}

/** Accuracy is the committee's on the hold-out: share of right answers, or skill of a regression (1 perfect, 0 as good as the mean). */
export interface TaskExplanation extends Omit<Selection, 'chosen'> {
  readonly task: string
  /** Labels of the hold-out that chose. */
  readonly samples: number
  /** Models on the bench that answer this task, and of them those that the hold-out speaks against. */
  readonly models: number
  readonly passedOver: number
  readonly members: readonly MemberExplanation[]
}

export interface Choice {
  readonly members: readonly BenchEntry[]
  readonly explanation: TaskExplanation
}

/**
 * A model less than half as good as the best is passed over, the site's own excepted: as one of several it may look right on a
 * few rows by chance. Good means beyond chance: (accuracy - 1 / classes), or the skill of a regression.
 */
const STANDING = 0.5
/** Dense and token hold-outs have thousands of labels; more than so many say nothing new about who is better. */
const MAX_SAMPLES = 2000

/**
 * @param entries - of the bench in the order of origin, those that answer the task; at least one of the site's own
 * @param y - hold-out labels in the order of the answers, [rows, positions, targets]
 * @param running - who serves so far
 */
export function choose (task: TaskSpec, y: TensorData, entries: readonly BenchEntry[], init: { spec: BenchSpec, seed: number, running: readonly BenchEntry[] }): Choice {
  const { spec, seed, running } = init
  const samples = labelledPlaces(task, y, seed)
  const scores = scoresFor(task, y, samples, entries, spec)
  const standing = entries.map((_, i) => scores.accuracy([i]) - (isLabelled(task) ? 1 / classesOf(task) : 0))
  const least = STANDING * Math.max(...standing)
  const candidates = entries.flatMap(({ own }, i) => own || !(least > 0 && (standing[i] as number) < least) ? [i] : [])
  const local = entries.flatMap(({ own }, i) => own ? [i] : [])
  const seats = running.map(entry => entries.indexOf(entry))
  const selection = selectSubset(scores, { hi: mostMembers(task, spec), local, candidates, random: new Random(seed), ...seats.includes(-1) ? {} : { running: seats } })
  const { chosen, ...found } = selection
  return {
    members: chosen.map(i => entries[i] as BenchEntry),
    explanation: {
      task: task.id,
      samples: samples.length,
      models: entries.length,
      passedOver: entries.length - candidates.length,
      members: chosen.map(i => {
        const { card, own } = entries[i] as BenchEntry
        const rest = chosen.filter(other => other !== i)
        return { peer: card.peer, modelId: card.modelId, version: card.version, arch: card.arch, own, accuracy: scores.accuracy([i]), loses: found.accuracy - (rest.length === 0 ? 0 : scores.accuracy(rest)) }
      }),
      ...found
    }
  }
}

/** Share of right answers, or skill, of one model's answers alone; NaN without labels. */
export function accuracyOf (task: TaskSpec, y: TensorData, answers: TensorData, seed: number): number {
  const samples = labelledPlaces(task, y, seed)
  if (samples.length === 0) return Number.NaN
  const scores = isLabelled(task)
    ? scoresOf(new Objectives({ classes: classesOf(task), labels: labelsAt(y, samples), probabilities: [probabilitiesAt(task, answers.data, samples)] }), 'cosine', 'soft')
    : numberScores(task, y, samples, [answers.data])
  return scores.accuracy([0])
}

/** What a committee answers: the mean of its members, or for labels by majority the share of their votes. */
export function combined (task: TaskSpec, members: readonly BenchEntry[], split: EvaluationSplit, combination: Combination): TensorData {
  const answers = members.map(entry => entry.answers.get(split)?.get(task.id) as TensorData)
  const { shape } = answers[0] as TensorData
  const data = new Float32Array(elements(shape))
  for (const { data: answer } of answers) {
    const given = combination === 'hard' && isLabelled(task) ? votes(task, answer) : answer
    for (let i = 0; i < data.length; i++) data[i] = (data[i] as number) + (given[i] as number) / answers.length
  }
  return { shape, data }
}

/** Tasks whose answer is one of several labels. */
function isLabelled ({ kind }: TaskSpec): boolean { return kind.endsWith('classes') || kind === 'dense-binary' }

/** Yes or no is given as one probability. */
function classesOf ({ kind, channels }: TaskSpec): number { return kind === 'dense-binary' ? 2 : channels }

/**
 * Pang's determinant leaves the right label out: of two labels one is left, where nothing differs. There the correlation of
 * the answers takes its place (ours), and the sizes are no longer bound by the labels.
 */
function diversityOf (task: TaskSpec, { diversity }: BenchSpec): Diversity { return diversity === 'pang' && classesOf(task) === 2 ? 'cosine' : diversity }

/** The determinant of more members than labels but the right one is 0. */
function mostMembers (task: TaskSpec, spec: BenchSpec): number {
  return isLabelled(task) && diversityOf(task, spec) === 'pang' ? Math.min(spec.maxMembers, classesOf(task) - 1) : spec.maxMembers
}

function scoresFor (task: TaskSpec, y: TensorData, samples: readonly number[], entries: readonly BenchEntry[], spec: BenchSpec): SubsetScores {
  const answers = entries.map(entry => (entry.answers.get('holdout')?.get(task.id) as TensorData).data)
  if (!isLabelled(task)) return numberScores(task, y, samples, answers)
  const objectives = new Objectives({ classes: classesOf(task), labels: labelsAt(y, samples), probabilities: answers.map(answer => probabilitiesAt(task, answer, samples)) })
  return scoresOf(objectives, diversityOf(task, spec), spec.combination)
}

function numberScores ({ channels }: TaskSpec, y: TensorData, samples: readonly number[], answers: readonly Float32Array[]): ResidualScores {
  const targets = y.shape.at(-1) as number
  const pick = (values: Float32Array, width: number): Float32Array => {
    const picked = new Float32Array(samples.length * channels)
    samples.forEach((sample, i) => { picked.set(values.subarray(sample * width, sample * width + channels), i * channels) })
    return picked
  }
  return new ResidualScores({ width: channels, labels: pick(y.data, targets), predictions: answers.map(answer => pick(answer, channels)) })
}

/** Places (row times positions + position) that have a label; a draw of them where they are very many, the same for every model. */
function labelledPlaces ({ kind, channels }: TaskSpec, { shape, data }: TensorData, seed: number): number[] {
  const targets = shape.at(-1) as number
  const valid = kind.endsWith('direction') && targets === 3
  const all: number[] = []
  for (let place = 0; place < data.length / targets; place++) {
    const at = data.subarray(place * targets, (place + 1) * targets)
    const labelled = isLabelled({ kind } as TaskSpec) ? (at[0] as number) >= 0 : valid ? at[2] !== 0 : at.subarray(0, channels).every(Number.isFinite)
    if (labelled) all.push(place)
  }
  if (all.length <= MAX_SAMPLES) return all
  return new Random(seed).permutation(all.length).slice(0, MAX_SAMPLES).sort((a, b) => a - b).map(i => all[i] as number)
}

function labelsAt ({ data }: TensorData, samples: readonly number[]): Int32Array { return Int32Array.from(samples, sample => data[sample] as number) }

function probabilitiesAt (task: TaskSpec, answers: Float32Array, samples: readonly number[]): Float32Array {
  const classes = classesOf(task)
  const picked = new Float32Array(samples.length * classes)
  samples.forEach((sample, i) => {
    if (task.kind === 'dense-binary') {
      const yes = answers[sample] as number
      picked.set([1 - yes, yes], 2 * i)
    } else {
      picked.set(answers.subarray(sample * classes, (sample + 1) * classes), i * classes)
    }
  })
  return picked
}

/** 1 for the label that a model gives, 0 for the others; the first of equals. */
function votes ({ kind, channels }: TaskSpec, answers: Float32Array): Float32Array {
  if (kind === 'dense-binary') return answers.map(yes => yes > 0.5 ? 1 : 0)
  const given = new Float32Array(answers.length)
  for (let place = 0; place < answers.length; place += channels) {
    const at = answers.subarray(place, place + channels)
    given[place + at.indexOf(Math.max(...at))] = 1
  }
  return given
}
