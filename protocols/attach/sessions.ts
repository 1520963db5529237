/**
 * Sessions a host admitted and that have not opened their step stream yet. A token opens one stream, from the peer it
 * was given to, within SESSION_OPEN_MS; a client that comes back attaches again with `resume`.
 */
import { SESSION_OPEN_MS } from '../limits.ts'
import type { Admission, AttachRequest } from '../../src/backbone/frames.ts'

export interface Session {
  readonly id: string
  /** The client's peer id, as the connection proved it. */
  readonly peer: string
  readonly request: AttachRequest
  readonly admission: Admission
}

export class SessionTable {
  readonly #sessions = new Map<string, { session: Session, timer: NodeJS.Timeout }>()

  add (session: Session): void {
    clearTimeout(this.#sessions.get(session.id)?.timer)
    const timer = setTimeout(() => { this.#sessions.delete(session.id) }, SESSION_OPEN_MS)
    timer.unref()
    this.#sessions.set(session.id, { session, timer })
  }

  /** The session and the right to it, once; undefined when unknown, used, expired or somebody else's. */
  take (id: string, peer: string): Session | undefined {
    const entry = this.#sessions.get(id)
    if (entry == null || entry.session.peer !== peer) return undefined
    clearTimeout(entry.timer)
    this.#sessions.delete(id)
    return entry.session
  }

  clear (): void {
    for (const { timer } of this.#sessions.values()) clearTimeout(timer)
    this.#sessions.clear()
  }
}
