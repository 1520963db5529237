import type { FrameChannel } from '../backbone/frames.ts'

/** Payload bytes of a host's attachments, those that have ended included. */
export class Traffic {
  readonly #open = new Set<FrameChannel>()
  readonly #ended = { up: 0, down: 0 }

  add (channel: FrameChannel): void { this.#open.add(channel) }

  end (channel: FrameChannel): void {
    if (!this.#open.delete(channel)) return
    this.#ended.up += channel.bytes.received
    this.#ended.down += channel.bytes.sent
  }

  /** Seen from the clients. */
  get total (): { up: number, down: number } {
    const total = { ...this.#ended }
    for (const { bytes } of this.#open) {
      total.up += bytes.received
      total.down += bytes.sent
    }
    return total
  }
}
