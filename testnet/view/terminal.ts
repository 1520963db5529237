/**
 * A run on the terminal. A person sees an area that is redrawn in place; a pipe or a log file gets one plain line per fact.
 * Both end with the closing table.
 */
import { clean, clock, displayWidth, painter, plural, wrap } from '../../node/cli/format.ts'
import { closingLines } from './closing.ts'
import { factOf } from '../../node/cli/facts.ts'
import { LiveState } from './live.ts'
import type { NodeEvent } from '../../node/events.ts'
import type { Summary } from '../summary.ts'
import type { View } from './ndjson.ts'

/** Ten frames a second look live; more would only cost. */
const FRAME_MS = 100
/** Width of a log file's tables; nothing says how wide its reader's window is. */
const LOG_COLUMNS = 120

export interface TerminalStream {
  write (text: string): unknown
  readonly columns?: number
  readonly rows?: number
  readonly isTTY?: boolean
}

export interface TerminalViewInit {
  readonly stream: TerminalStream
  /** Default: what the stream says at each frame. */
  readonly columns?: number
  readonly rows?: number
  readonly isTTY?: boolean
  /** Name of the consortium, for the first line. */
  readonly consortium?: string
  readonly env?: NodeJS.ProcessEnv
  /** Milliseconds. Default Date.now. */
  readonly now?: () => number
}

export function createTerminalView (init: TerminalViewInit): View {
  const env = init.env ?? process.env
  const isTTY = (init.isTTY ?? init.stream.isTTY ?? false) && env.TERM !== 'dumb'
  return isTTY ? new LiveView(init, env) : new LogView(init)
}

class LogView implements View {
  readonly #stream: TerminalStream
  readonly #columns: number
  readonly #now: () => number
  readonly #startedAt: number
  readonly #state = new LiveState()
  readonly #waits = new Map<string, string>()

  constructor (init: TerminalViewInit) {
    this.#stream = init.stream
    this.#columns = init.columns ?? LOG_COLUMNS
    this.#now = init.now ?? Date.now
    this.#startedAt = this.#now()
  }

  event (event: NodeEvent): void {
    const at = (this.#now() - this.#startedAt) / 1000
    this.#state.event(event, at)
    if (event.type === 'waiting') {
      if (this.#waits.get(event.node) === event.reason) return
      this.#waits.set(event.node, event.reason)
    }
    const fact = factOf(event, this.#state.name)
    if (fact !== undefined) this.#stream.write(`${clock(at)} ${fact}\n`)
  }

  summary (summary: Summary): void {
    const lines = closingLines(summary, { width: this.#columns, paint: painter(false) })
    this.#stream.write(['', ...wrap(headline(summary), this.#columns), '', ...lines, ''].join('\n'))
  }

  close (): void {}
}

class LiveView implements View {
  readonly #init: TerminalViewInit
  readonly #env: NodeJS.ProcessEnv
  readonly #now: () => number
  readonly #startedAt: number
  readonly #state = new LiveState()
  readonly #timer: NodeJS.Timeout
  readonly #onExit = (): void => { this.close() }
  /** Widths of the lines that stand on the screen; the cursor is behind the last one. */
  #drawn: readonly number[] = []
  #drawnAt = -Infinity
  #dirty = false
  #open = true

  constructor (init: TerminalViewInit, env: NodeJS.ProcessEnv) {
    this.#init = init
    this.#env = env
    this.#now = init.now ?? Date.now
    this.#startedAt = this.#now()
    // The clock in the first line moves also when nothing happens.
    this.#timer = setInterval(() => { if (this.#dirty || this.#now() - this.#drawnAt >= 1000) this.#draw() }, FRAME_MS)
    this.#timer.unref()
    process.once('exit', this.#onExit)
  }

  event (event: NodeEvent): void {
    if (!this.#open) return
    this.#state.event(event, this.#seconds())
    this.#dirty = true
    if (this.#now() - this.#drawnAt >= FRAME_MS) this.#draw()
  }

  /** Takes the place of the live area; after `close`, follows it. */
  summary (summary: Summary): void {
    const paint = painter(true, this.#env)
    const lines = closingLines(summary, { width: this.#width(), paint })
    this.#write(`${this.#home()}\x1b[J${[...wrap(headline(summary), this.#width()).map(line => paint('bold', line)), '', ...lines, ''].join('\n')}`)
    this.#drawn = []
    this.#end()
  }

  /** Leaves the last frame on the screen, with what was being waited for. */
  close (): void {
    if (!this.#open) return
    if (this.#dirty) this.#draw()
    if (this.#drawn.length > 0) this.#write('\n')
    this.#drawn = []
    this.#end()
  }

  #end (): void {
    if (!this.#open) return
    this.#open = false
    clearInterval(this.#timer)
    process.off('exit', this.#onExit)
    this.#write('\x1b[?25h')
  }

  #draw (): void {
    const lines = this.#state.frame({
      width: this.#width(),
      // One row is left free: a full screen would scroll.
      rows: (this.#init.rows ?? this.#init.stream.rows ?? 24) - 1,
      seconds: this.#seconds(),
      paint: painter(true, this.#env),
      title: `fmtl-node ${this.#init.consortium ?? 'testnet'}`
    })
    const hide = this.#drawn.length === 0 ? '\x1b[?25l' : ''
    this.#write(`${hide}${this.#home()}${lines.map(line => `${line}\x1b[K`).join('\n')}\x1b[J`)
    this.#drawn = lines.map(displayWidth)
    this.#drawnAt = this.#now()
    this.#dirty = false
  }

  /** Back to the first line; a window that was made narrower has broken long lines in two. */
  #home (): string {
    if (this.#drawn.length === 0) return ''
    const rows = this.#drawn.reduce((sum, width) => sum + Math.max(1, Math.ceil(width / this.#columns())), 0)
    return `\r${rows > 1 ? `\x1b[${rows - 1}A` : ''}`
  }

  #columns (): number { return Math.max(20, this.#init.columns ?? this.#init.stream.columns ?? 80) }

  /** The last column stays free: some terminals wrap as soon as it is written. */
  #width (): number { return this.#columns() - 1 }

  #seconds (): number { return (this.#now() - this.#startedAt) / 1000 }

  #write (text: string): void { this.#init.stream.write(text) }
}

function headline (summary: Summary): string {
  const { hosts, clients, rounds, trading } = summary
  const who = trading === undefined
    ? `${plural(clients.length, 'client')}, ${plural(hosts.length, 'host')}, ${plural(rounds.length, 'closed round')}`
    : `${plural(clients.length, 'peer')}, ${plural(trading.traders.reduce((sum, { offered }) => sum + offered, 0), 'model')} offered`
  return clean(`${summary.complete ? 'Complete' : 'INCOMPLETE'}: ${who}; ` +
    `data ${summary.data}, strategy ${summary.strategy}, ${trading === undefined ? `merge ${summary.merge}, ` : ''}seed ${summary.seed}, ${summary.backend}, ${summary.runner}`)
}
