/** Horizontal bars with their spread, as an SVG that reads on a light and on a dark page. */
export interface Bar {
  readonly label: string
  readonly median: number
  readonly min?: number
  readonly max?: number
}

const [WIDTH, LABEL, ROW, TOP] = [760, 300, 22, 44]

export function barsSvg (title: string, bars: readonly Bar[], unit: string): string {
  const longest = Math.max(1e-12, ...bars.map(({ median, max }) => max ?? median).filter(Number.isFinite))
  const scale = (value: number): number => Math.max(0, value) / longest * (WIDTH - LABEL - 90)
  const height = TOP + bars.length * ROW + 10
  const lines = bars.flatMap(({ label, median, min, max }, i) => {
    const y = TOP + i * ROW
    return [
      `<text x="${LABEL - 8}" y="${y + 14}" text-anchor="end">${escape(label)}</text>`,
      `<rect x="${LABEL}" y="${y + 3}" width="${scale(median).toFixed(1)}" height="${ROW - 8}" fill="#4878a8"/>`,
      ...min === undefined || max === undefined
        ? []
        : [`<line x1="${(LABEL + scale(min)).toFixed(1)}" x2="${(LABEL + scale(max)).toFixed(1)}" y1="${y + 10}" y2="${y + 10}" stroke="#d08030" stroke-width="2"/>`],
      `<text x="${(LABEL + scale(max ?? median) + 6).toFixed(1)}" y="${y + 14}">${median.toPrecision(3)}</text>`
    ]
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="12" fill="#808080">
<text x="8" y="18" font-size="14" font-weight="bold">${escape(title)}</text>
<text x="${LABEL}" y="36">${escape(unit)}; line: lowest to highest run</text>
${lines.join('\n')}
</svg>
`
}

export function escape (text: string): string { return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;') }
