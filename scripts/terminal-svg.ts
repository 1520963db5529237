/**
 * A terminal's text, colours and all, as an SVG picture: standard input to standard output. Of an area that was redrawn
 * only the last state is kept.
 *
 *     script -qec 'npm start' run.txt
 *     node scripts/terminal-svg.ts '$ npm start' < run.txt > docs/testnet.svg
 */
import { text } from 'node:stream/consumers'

const CELL = { width: 7.8, height: 18, font: 13 }
const MARGIN = 18
const TITLE_HEIGHT = 34
const COLOURS: Readonly<Record<number, string>> = {
  31: '#ff7b72', 32: '#56d364', 33: '#e3b341', 34: '#79c0ff', 35: '#d2a8ff', 36: '#56d4dd', 90: '#8b949e'
}

interface Style { bold: boolean, dim: boolean, colour: string | undefined }
interface Run { readonly column: number, readonly text: string, readonly style: Style }

/** @param title - shown in the bar, the command say */
export function terminalSvg (output: string, title: string): string {
  const lines = lastScreen(output).map(runsOf)
  const columns = Math.max(...lines.flat().map(run => run.column + run.text.length), title.length)
  const width = Math.ceil(columns * CELL.width + 2 * MARGIN)
  const height = TITLE_HEIGHT + lines.length * CELL.height + MARGIN
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escape(title)}">`,
    `<style>text{font:${CELL.font}px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#e6edf3;white-space:pre}</style>`,
    `<rect width="${width}" height="${height}" rx="8" fill="#0d1117" stroke="#3d444d"/>`,
    `<text x="${MARGIN}" y="24" style="fill:#8b949e">${escape(title)}</text>`,
    ...lines.flatMap((runs, row) => runs.map(run => draw(run, TITLE_HEIGHT + (row + 1) * CELL.height))),
    '</svg>', ''
  ].join('\n')
}

function lastScreen (output: string): string[] {
  const screen = output.slice(output.lastIndexOf('\x1b[J') + 1).replace(/^\[J/, '').replaceAll('\r', '')
  const lines = screen.split('\n').filter(line => !/^Script (started|done) on /.test(line))
  while (lines.length > 0 && bare(lines.at(-1) as string).trim() === '') lines.pop()
  return lines
}

/** Pieces of one style; gaps of two cells or more start a new piece, so that columns stay aligned in every font. */
function runsOf (line: string): Run[] {
  const runs: Run[] = []
  const style: Style = { bold: false, dim: false, colour: undefined }
  let column = 0
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  for (const part of line.split(/(\x1b\[[0-9;?]*[A-Za-z])/)) {
    // eslint-disable-next-line no-control-regex -- control characters are what is looked for
    const codes = /^\x1b\[([0-9;]*)m$/.exec(part)?.[1]
    if (codes !== undefined) for (const code of codes.split(';')) apply(style, Number(code))
    else if (!part.startsWith('\x1b')) {
      for (const piece of part.split(/(\s{2,})/)) {
        if (piece.trim() !== '') runs.push({ column, text: piece, style: { ...style } })
        column += piece.length
      }
    }
  }
  return runs
}

function apply (style: Style, code: number): void {
  if (code === 0) Object.assign(style, { bold: false, dim: false, colour: undefined })
  else if (code === 1) style.bold = true
  else if (code === 2) style.dim = true
  else if (code === 22) Object.assign(style, { bold: false, dim: false })
  else if (code === 39) style.colour = undefined
  else style.colour = COLOURS[code] ?? style.colour
}

function draw ({ column, text, style }: Run, y: number): string {
  const looks = [style.bold ? 'font-weight:700' : '', style.colour !== undefined ? `fill:${style.colour}` : style.dim ? 'fill:#8b949e' : ''].filter(part => part !== '')
  const css = looks.length === 0 ? '' : ` style="${looks.join(';')}"`
  return `<text x="${(MARGIN + column * CELL.width).toFixed(1)}" y="${y}"${css}>${escape(text)}</text>`
}

// eslint-disable-next-line no-control-regex -- control characters are what is looked for
function bare (line: string): string { return line.replace(/\x1b\[[0-9;?]*[A-Za-z]/g, '') }

function escape (text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')
}

if (import.meta.main) process.stdout.write(terminalSvg(await text(process.stdin), process.argv[2] ?? ''))
