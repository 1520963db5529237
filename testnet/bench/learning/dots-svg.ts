/** What every strategy gains over the best local model, a line per data set, as an SVG that reads on a light and on a dark page. */
import { COMMITTEE, columnsOf, relativeGain } from './cells.ts'
import { escape } from '../bars-svg.ts'
import { titleOf } from './tables.ts'
import type { DataTable } from './cells.ts'

const [WIDTH, LABEL, ROW, TOP, LEGEND_ROW] = [860, 150, 38, 64, 18]
/** Gains beyond this many per cent are drawn at the edge, with the range of them. */
const EDGE = 30
const COLOURS = ['#4878a8', '#d08030', '#5a9e5a', '#b04a4a', '#8a6db0', '#8c6d4f', '#c878b0', '#708090', '#a8a030', '#30a0b0', '#e06080', '#607030', '#a0522d', '#5060c0']
/** Marks that would lie on each other lie side by side. */
const LANES = [0, -8, 8]

export function dotsSvg (tables: readonly DataTable[], strategies: readonly string[], lead: string): string {
  const columns = columnsOf(strategies).filter(column => ![...COMMITTEE, 'bestLocal'].includes(column) && tables.some(({ tasks }) => Number.isFinite(relativeGain(tasks, column))))
  const gains = tables.map(({ tasks }) => columns.map(column => relativeGain(tasks, column)))
  const reach = Math.min(EDGE, Math.max(2, ...gains.flat().filter(Number.isFinite).map(Math.abs)))
  const middle = (LABEL + WIDTH) / 2
  const x = (gain: number): number => middle + Math.max(-1, Math.min(1, gain / reach)) * (WIDTH - LABEL - 140) / 2
  const legendRows = Math.ceil(columns.length / 5)
  const bottom = TOP + tables.length * ROW
  const height = bottom + 34 + legendRows * LEGEND_ROW
  const colour = (i: number): string => COLOURS[i % COLOURS.length] as string
  const mark = (i: number, cx: number, cy: number): string => {
    if (columns[i] === 'served') return `<path d="M${cx - 6} ${cy}l6 -6l6 6l-6 6z" fill="#202020" stroke="#f0f0f0"/>`
    // A colour comes back as a square.
    return i < COLOURS.length
      ? `<circle cx="${cx.toFixed(1)}" cy="${cy}" r="4.5" fill="${colour(i)}" fill-opacity=".85"/>`
      : `<rect x="${(cx - 4).toFixed(1)}" y="${cy - 4}" width="8" height="8" fill="${colour(i)}" fill-opacity=".85"/>`
  }
  /** Of the gains that do not fit on one side. */
  const beyond = (of: readonly number[], side: 1 | -1, y: number): string[] => {
    const out = of.filter(gain => side * gain > reach).map(Math.round).sort((a, b) => side * (a - b))
    const [first, last] = [out[0], out.at(-1)]
    return first === undefined ? [] : [`<text x="${x(side * reach) + side * 10}" y="${y + 3}" text-anchor="${side > 0 ? 'start' : 'end'}" font-size="9">${first === last ? first : `${first} to ${last}`}</text>`]
  }
  const ticks = [-reach, -reach / 2, 0, reach / 2, reach]
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="12" fill="#808080">
<text x="8" y="18" font-size="14" font-weight="bold">Gain over the best local model</text>
<text x="8" y="36">per cent of its metric, averaged over tasks, sites and seeds; to the right is better</text>
${[
  ...ticks.map(tick => `<line x1="${x(tick).toFixed(1)}" x2="${x(tick).toFixed(1)}" y1="${TOP - 6}" y2="${bottom}" stroke="#808080" stroke-opacity="${tick === 0 ? '.9' : '.25'}"/><text x="${x(tick).toFixed(1)}" y="${TOP - 10}" text-anchor="middle">${tick > 0 ? '+' : ''}${tick.toFixed(tick % 1 === 0 ? 0 : 1)}</text>`),
  ...tables.flatMap(({ data }, row) => {
    const y = TOP + row * ROW + ROW / 2
    return [
      `<text x="${LABEL - 8}" y="${y + 4}" text-anchor="end">${escape(data)}</text>`,
      ...columns.flatMap((_, i) => {
        const gain = gains[row]?.[i] ?? Number.NaN
        return Number.isFinite(gain) ? [mark(i, x(gain), y + (LANES[i % LANES.length] as number))] : []
      }),
      ...beyond(gains[row] ?? [], -1, y),
      ...beyond(gains[row] ?? [], 1, y)
    ]
  }),
  ...columns.map((column, i) => {
    const [cx, cy] = [LABEL + (i % 5) * 140, bottom + 26 + Math.floor(i / 5) * LEGEND_ROW]
    return `${mark(i, cx, cy)}<text x="${cx + 10}" y="${cy + 4}">${escape(titleOf(column, lead))}</text>`
  })
].join('\n')}
</svg>
`
}
