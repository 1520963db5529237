import type { FrameChannel } from '../backbone/frames.ts'

/** Payload bytes of a host's attachments: those that are over, and those that are open. */
export class Traffic {
  readonly #ended = { up: 0, down: 0 }
  readonly #open = new Set<FrameChannel>()

  open (channel: FrameChannel): void { this.#open.add(channel) }

  /** Counts a channel that is over once, however often it is said. */
  end (channel: FrameChannel): void {
    if (!this.#open.delete(channel)) return
    this.#ended.up += channel.bytes.received
    this.#ended.down += channel.bytes.sent
  }

  total (): { up: number, down: number } {
    const total = { ...this.#ended }
    for (const { bytes } of this.#open) {
      total.up += bytes.received
      total.down += bytes.sent
    }
    return total
  }
}
