/**
 * What the commands draw with: numbers, bytes, durations, bars, sparklines, tables. Widths are terminal cells: colour codes
 * count nothing, CJK letters count two. Text that comes from a peer or a file goes through `clean` before it is drawn.
 */
import { stripVTControlCharacters, styleText } from 'node:util'

export type Style = Parameters<typeof styleText>[0]
export type Paint = (style: Style, text: string) => string

/** Colours only for a person at a terminal who has not set NO_COLOR (https://no-color.org). */
export function painter (isTTY: boolean, env: NodeJS.ProcessEnv = process.env): Paint {
  const plain = !isTTY || (env.NO_COLOR ?? '') !== '' || env.TERM === 'dumb'
  return plain ? (_, text) => text : (style, text) => styleText(style, text, { validateStream: false })
}

// East Asian wide and full-width blocks, and pictures: two cells in every terminal we know.
const WIDE = /^(?:[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation})/u
const letters = new Intl.Segmenter('en', { granularity: 'grapheme' })

/** Cells the text takes on a terminal. */
export function displayWidth (text: string): number {
  const bare = stripVTControlCharacters(text)
  if (/^[\x20-\x7e]*$/.test(bare)) return bare.length
  let width = 0
  for (const { segment } of letters.segment(bare)) width += letterWidth(segment)
  return width
}

function letterWidth (letter: string): number {
  if (/^[\p{Cc}\p{Cf}\p{M}]/u.test(letter)) return 0
  return WIDE.test(letter) ? 2 : 1
}

/** One line without anything that could move the cursor, change colours or turn the writing direction. */
export function clean (text: string): string {
  return stripVTControlCharacters(text).replace(/[\s\p{Cc}]+/gu, ' ').replace(/\p{Cf}/gu, '').trim()
}

/** Cuts to a width, with an ellipsis; colours that are on at the cut are switched off. */
export function truncate (text: string, width: number): string {
  if (displayWidth(text) <= width) return text
  if (width <= 0) return ''
  let out = ''
  let used = 0
  let coloured = false
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  for (const part of text.split(/(\x1b\[[0-9;]*m)/)) {
    if (part.startsWith('\x1b')) {
      out += part
      coloured = true
      continue
    }
    for (const { segment } of letters.segment(part)) {
      used += letterWidth(segment)
      if (used > width - 1) return `${out}…${coloured ? '\x1b[0m' : ''}`
      out += segment
    }
  }
  return out
}

export function pad (text: string, width: number, align: 'left' | 'right' = 'left'): string {
  const space = ' '.repeat(Math.max(0, width - displayWidth(text)))
  return align === 'right' ? space + text : text + space
}

/** Breaks at spaces; later lines start with `indent`. */
export function wrap (text: string, width: number, indent = ''): string[] {
  const lines: string[] = []
  let [line = '', ...words] = text.split(' ')
  for (const word of words) {
    const longer = `${line} ${word}`
    if (line.trim() !== '' && displayWidth(longer) > width) {
      lines.push(line)
      line = indent + word
    } else {
      line = longer
    }
  }
  return [...lines, line].map(each => truncate(each, width))
}

export interface Column {
  readonly title: string
  readonly align?: 'left' | 'right'
  /** May be cut when the table is too wide. */
  readonly shrink?: boolean
}

/** Cells the table would take if nothing were cut. */
export function tableWidth (columns: readonly Column[], rows: ReadonlyArray<readonly string[]>, gap = 2): number {
  return naturalWidths(columns, rows).reduce((sum, width) => sum + width, gap * (columns.length - 1))
}

/** A head and one line per row, none longer than `width`; the widest columns that may shrink give way first. */
export function table (columns: readonly Column[], rows: ReadonlyArray<readonly string[]>, init: { width: number, gap?: number, paint?: Paint }): string[] {
  const gap = init.gap ?? 2
  const widths = naturalWidths(columns, rows)
  let excess = widths.reduce((sum, width) => sum + width, gap * (columns.length - 1)) - init.width
  for (; excess > 0; excess--) {
    const widest = columns.reduce((best, column, i) =>
      column.shrink === true && cell(widths, i) > SHORTEST && (best < 0 || cell(widths, i) > cell(widths, best)) ? i : best, -1)
    if (widest < 0) break
    widths[widest] = cell(widths, widest) - 1
  }
  const line = (cells: readonly string[]): string => truncate(columns.map((column, i) =>
    pad(truncate(cells[i] ?? '', cell(widths, i)), cell(widths, i), column.align)).join(' '.repeat(gap)).trimEnd(), init.width)
  const head = line(columns.map(column => column.title))
  return [init.paint === undefined ? head : init.paint('dim', head), ...rows.map(line)]
}

/** A name cut below six letters cannot be told from its neighbour. */
const SHORTEST = 6

function naturalWidths (columns: readonly Column[], rows: ReadonlyArray<readonly string[]>): number[] {
  return columns.map((column, i) => Math.max(displayWidth(column.title), ...rows.map(row => displayWidth(row[i] ?? ''))))
}

function cell (widths: readonly number[], i: number): number { return widths[i] as number }

/** Progress, filled to an eighth of a cell. */
export function bar (share: number, width: number): string {
  const eighths = Math.round(Math.min(1, Math.max(0, Number.isFinite(share) ? share : 0)) * width * 8)
  const full = Math.floor(eighths / 8)
  const rest = ' ▏▎▍▌▋▊▉'[eighths % 8] as string
  return full >= width ? '█'.repeat(width) : '█'.repeat(full) + (rest === ' ' ? '░' : rest) + '░'.repeat(width - full - 1)
}

/** The last values as a line of blocks, lowest to highest; longer histories are averaged into `width` cells. */
export function sparkline (values: readonly number[], width: number): string {
  const usable = values.filter(Number.isFinite)
  const cells = Math.min(width, usable.length)
  if (cells <= 0) return ''
  const means = Array.from({ length: cells }, (_, i) => {
    const part = usable.slice(Math.floor(i * usable.length / cells), Math.floor((i + 1) * usable.length / cells))
    return part.reduce((sum, value) => sum + value, 0) / part.length
  })
  const low = Math.min(...means)
  const range = Math.max(...means) - low
  return means.map(value => '▁▂▃▄▅▆▇█'[range === 0 ? 0 : Math.min(7, Math.floor((value - low) / range * 8))] as string).join('')
}

/** A metric or a loss. No value: a dash. */
export function metric (value: number | null | undefined, digits = 3): string {
  if (value == null || !Number.isFinite(value)) return '-'
  const text = value.toFixed(digits)
  return Number(text) === 0 ? (0).toFixed(digits) : text
}

/** A difference, always with its sign; what rounds to zero has none. */
export function signed (value: number | null | undefined, digits = 3): string {
  const text = metric(value, digits)
  return text === '-' || Number(text) <= 0 ? text : `+${text}`
}

export function percent (share: number | null | undefined, digits = 1): string {
  return share == null || !Number.isFinite(share) ? '-' : `${metric(share * 100, digits)} %`
}

/** 1023 B, 1.5 KiB, 12.3 MiB, 234 MiB. */
export function bytes (value: number | null | undefined): string {
  if (value == null || !Number.isFinite(value)) return '-'
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let unit = 0
  let scaled = value
  while (scaled >= 1023.5 && unit < units.length - 1) {
    scaled /= 1024
    unit++
  }
  return `${unit === 0 || scaled >= 99.95 ? Math.round(scaled) : scaled.toFixed(1)} ${units[unit]}`
}

/** 12 ms, 3.4 s, 42 s, 1 min 05 s, 2 h 03 min. */
export function duration (seconds: number | null | undefined): string {
  if (seconds == null || !Number.isFinite(seconds)) return '-'
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  const two = (value: number): string => String(value).padStart(2, '0')
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`
  return `${Math.floor(whole / 3600)} h ${two(Math.floor(whole % 3600 / 60))} min`
}

/** 0:42, 12:05, 1:02:03. */
export function clock (seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds))
  const two = (value: number): string => String(value).padStart(2, '0')
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole % 3600 / 60), whole % 60]
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`
}

/** 950, 12.3k, 4.5M. */
export function count (value: number | null | undefined): string {
  if (value == null || !Number.isFinite(value)) return '-'
  if (value < 9999.5) return String(Math.round(value))
  return value < 999_950 ? `${(value / 1e3).toFixed(value < 99_950 ? 1 : 0)}k` : `${(value / 1e6).toFixed(1)}M`
}

/** 'a', 'a and b', 'a, b and c'. */
export function list (words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1) as string}`
}

/** 1 round, 2 rounds. */
export function plural (n: number, word: string): string { return `${n} ${word}${n === 1 ? '' : 's'}` }
