/** A terminal of endless height, good enough to see what the view's escape codes leave on a screen. */
import { displayWidth, truncate } from '../../../node/cli/format.ts'

export class Screen {
  readonly #columns: number
  #rows: string[] = ['']
  #row = 0
  #column = 0

  constructor (columns: number) { this.#columns = columns }

  /** What stands on the screen, without trailing blanks. */
  get lines (): string[] { return this.#rows.map(row => row.trimEnd()) }

  write (text: string): void {
    // eslint-disable-next-line no-control-regex
    for (const part of text.split(/(\x1b\[[?\d;]*[A-Za-z]|\n|\r)/)) {
      // eslint-disable-next-line no-control-regex
      const [, count = '', command] = /^\x1b\[([?\d;]*)([A-Za-z])$/.exec(part) ?? []
      if (part === '\n') this.#move(this.#row + 1, 0)
      else if (part === '\r') this.#column = 0
      else if (command === 'A') this.#move(this.#row - Number(count || 1), this.#column)
      else if (command === 'K') this.#cut()
      else if (command === 'J') {
        this.#cut()
        this.#rows.length = this.#row + 1
      } else if (command === undefined) this.#print(part)
      else if (command !== 'm' && !count.startsWith('?25')) throw new Error(`the screen does not know ${JSON.stringify(part)}`)
    }
  }

  #move (row: number, column: number): void {
    if (row < 0) throw new Error('the cursor left the screen at the top')
    while (this.#rows.length <= row) this.#rows.push('')
    this.#row = row
    this.#column = column
  }

  #cut (): void { this.#rows[this.#row] = this.#rows[this.#row]?.slice(0, this.#column) ?? '' }

  #print (text: string): void {
    const row = this.#rows[this.#row] ?? ''
    this.#rows[this.#row] = row.slice(0, this.#column).padEnd(this.#column) + text + row.slice(this.#column + text.length)
    this.#column += text.length
    if (displayWidth(this.#rows[this.#row] as string) > this.#columns) throw new Error(`a line wrapped: ${truncate(text, 40)}`)
  }
}
