/** Those who wait until a condition holds; whoever changes what it depends on wakes them to look again. */
export class Waiters {
  readonly #waiting = new Set<() => void>()

  /** @throws the signal's reason */
  async until (condition: () => boolean, signal: AbortSignal): Promise<void> {
    while (!condition()) {
      signal.throwIfAborted()
      await new Promise<void>(resolve => {
        const wake = (): void => {
          this.#waiting.delete(wake)
          signal.removeEventListener('abort', wake)
          resolve()
        }
        this.#waiting.add(wake)
        signal.addEventListener('abort', wake, { once: true })
      })
    }
  }

  wake (): void { for (const wake of [...this.#waiting]) wake() }
}
